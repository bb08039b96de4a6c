// Two readers of layers that matter for OS images, run for real on the layers that they are given. Lines come on standard
// input, their fields parted by tabs, and each is answered by one line: "ok", or what was refused.
//
//	elemental TARGET LAYER...   what elemental does: go-containerregistry's Extract into containerd's Apply
//	overlay DIRECTORY LAYER...  what containerd does: Apply for each layer into DIRECTORY/<n>, for overlayfs
//	platform WANTED FOUND...    the position of the first platform that containerd takes for WANTED, -1 for none
//
// Layers come bottom first, as a registry has them: compressed or not. A media type may stand before a file's name, parted from it
// by "="; without one, containerd is told nothing and looks at the bytes. The versions in go.mod are those of
// elemental-toolkit.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/containerd/archive"
	"github.com/containerd/containerd/archive/compression"
	"github.com/containerd/containerd/images"
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

func parted(layer string) (mediaType, name string) {
	if before, after, ok := strings.Cut(layer, "="); ok {
		return before, after
	}
	return images.MediaTypeDockerSchema2Layer, layer
}

func elemental(target string, layers []string) error {
	var whole image
	for _, each := range layers {
		_, name := parted(each)
		layer, err := partial.CompressedToLayer(file{name})
		if err != nil {
			return err
		}
		whole.layers = append(whole.layers, layer)
	}
	stream := mutate.Extract(whole)
	defer stream.Close()
	_, err := archive.Apply(context.Background(), target, stream)
	return err
}

// unpacked does what containerd's stream processors do for a media type (diff/stream.go, diff/apply/apply.go).
func unpacked(ctx context.Context, mediaType string, stream io.Reader) (io.Reader, error) {
	if !images.IsLayerType(mediaType) {
		return nil, fmt.Errorf("mismatched image rootfs and manifest layers: %s is no layer", mediaType)
	}
	compressed, err := images.DiffCompression(ctx, mediaType)
	if err != nil || compressed == "" {
		return stream, err
	}
	return compression.DecompressStream(stream)
}

func overlay(directory string, layers []string) error {
	ctx := context.Background()
	var parents []string
	for number, each := range layers {
		mediaType, name := parted(each)
		own := filepath.Join(directory, strconv.Itoa(number))
		if err := os.Mkdir(own, 0o755); err != nil {
			return err
		}
		opened, err := os.Open(name)
		if err != nil {
			return err
		}
		stream, err := unpacked(ctx, mediaType, opened)
		if err == nil {
			_, err = archive.Apply(ctx, own, stream,
				archive.WithConvertWhiteout(archive.OverlayConvertWhiteout), archive.WithParents(parents))
		}
		if err == nil {
			_, err = io.Copy(io.Discard, stream)
		}
		opened.Close()
		if err != nil {
			return fmt.Errorf("layer %d: %w", number, err)
		}
		parents = append([]string{own}, parents...)
	}
	return nil
}

func run(arguments []string) (string, error) {
	if len(arguments) < 2 {
		return "", errors.New("expected: elemental|overlay DIRECTORY LAYER..., platform WANTED FOUND...")
	}
	switch arguments[0] {
	case "platform":
		return match(arguments[1], arguments[2:])
	case "elemental":
		return "ok", elemental(arguments[1], arguments[2:])
	default:
		return "ok", overlay(arguments[1], arguments[2:])
	}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if answer, err := run(strings.Split(lines.Text(), "\t")); err != nil {
			fmt.Println("refused: " + strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println(answer)
		}
	}
}
