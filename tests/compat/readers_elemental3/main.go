// The reader of Elemental 3, run for real on the layers that it is given. Lines come on standard input, their fields parted by tabs, and
// each is answered by one line: "ok", or what was refused.
//
//	elemental TARGET LAYER...   go-containerregistry's Extract into containerd's Apply, as SUSE/elemental's pkg/unpack/oci.go has it
//
// Layers come bottom first, as a registry has them: compressed or not. The versions in go.mod are those of SUSE/elemental.
package main

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

type file struct{ name string }

func (f file) Digest() (v1.Hash, error)            { return v1.Hash{}, errors.New("not asked for") }
func (f file) Compressed() (io.ReadCloser, error)  { return os.Open(f.name) }
func (f file) Size() (int64, error)                { return 0, errors.New("not asked for") }
func (f file) MediaType() (types.MediaType, error) { return types.DockerLayer, nil }

// image is one whose layers come of a registry; nothing else of it is asked for.
type image struct {
	v1.Image
	layers []v1.Layer
}

func (i image) Layers() ([]v1.Layer, error) { return i.layers, nil }

func elemental(target string, layers []string) error {
	var whole image
	for _, each := range layers {
		if _, after, ok := strings.Cut(each, "="); ok {
			each = after
		}
		layer, err := partial.CompressedToLayer(file{each})
		if err != nil {
			return err
		}
		whole.layers = append(whole.layers, layer)
	}
	stream := mutate.Extract(whole)
	defer stream.Close()
	every := func(*tar.Header) (bool, error) { return true, nil }
	_, err := archive.Apply(context.Background(), target, stream, archive.WithFilter(every))
	return err
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if err := elemental(fields[1], fields[2:]); err != nil {
			fmt.Println("refused: " + strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("ok")
		}
	}
}
