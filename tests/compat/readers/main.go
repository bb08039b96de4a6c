// Two readers of layers that matter for OS images, run for real on the layers that they are given. Lines come on standard
// input, their fields parted by tabs, and each is answered by one line: "ok", or what was refused.
//
//	elemental TARGET LAYER...   what elemental does: go-containerregistry's Extract into containerd's Apply
//	overlay DIRECTORY LAYER...  what containerd does: Apply for each layer into DIRECTORY/<n>, for overlayfs
//
// Layers are uncompressed archives, bottom first. The versions in go.mod are those of elemental-toolkit.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/containerd/archive"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func elemental(target string, names []string) error {
	image := empty.Image
	for _, name := range names {
		name := name
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return os.Open(name) })
		if err != nil {
			return err
		}
		var appended v1.Image
		if appended, err = mutate.AppendLayers(image, layer); err != nil {
			return err
		}
		image = appended
	}
	stream := mutate.Extract(image)
	defer stream.Close()
	_, err := archive.Apply(context.Background(), target, stream)
	return err
}

func overlay(directory string, names []string) error {
	var parents []string
	for number, name := range names {
		own := filepath.Join(directory, strconv.Itoa(number))
		if err := os.Mkdir(own, 0o755); err != nil {
			return err
		}
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		_, err = archive.Apply(context.Background(), own, file,
			archive.WithConvertWhiteout(archive.OverlayConvertWhiteout), archive.WithParents(parents))
		file.Close()
		if err != nil {
			return fmt.Errorf("layer %d: %w", number, err)
		}
		parents = append([]string{own}, parents...)
	}
	return nil
}

func run(arguments []string) error {
	if len(arguments) < 2 {
		return fmt.Errorf("expected: elemental|overlay DIRECTORY LAYER...")
	}
	if arguments[0] == "elemental" {
		return elemental(arguments[1], arguments[2:])
	}
	return overlay(arguments[1], arguments[2:])
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := run(strings.Split(lines.Text(), "\t")); err != nil {
			fmt.Println("refused: " + strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("ok")
		}
	}
}
