// seekable writes archives as layers with a table of contents, with the writers that runtimes' own tools use, and reads
// eStargz layers back with the snapshotter's own reader.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/containerd/stargz-snapshotter/estargz"
	digest "github.com/opencontainers/go-digest"
	"go.podman.io/storage/pkg/chunked/compressor"
)

func main() {
	switch os.Args[1] {
	case "verify":
		verify(os.Args[2], digest.Digest(os.Args[3]))
	default:
		write(os.Args[1], os.Args[2], os.Args[3], os.Args[4:])
	}
}

// write makes a layer of an archive and prints the annotations that vouch for its table.
func write(format, in, out string, rest []string) {
	source, size := open(in)
	target, err := os.Create(out)
	fail(err)
	annotations := map[string]string{}
	switch format {
	case "estargz":
		var options []estargz.Option
		if len(rest) > 0 {
			least, err := strconv.Atoi(rest[0])
			fail(err)
			options = append(options, estargz.WithMinChunkSize(least))
		}
		blob, err := estargz.Build(io.NewSectionReader(source, 0, size), options...)
		fail(err)
		_, err = io.Copy(target, blob)
		fail(err)
		fail(blob.Close())
		annotations[estargz.TOCJSONDigestAnnotation] = blob.TOCDigest().String()
	case "zstd:chunked":
		level := 3
		writer, err := compressor.ZstdCompressor(target, annotations, &level)
		fail(err)
		_, err = io.Copy(writer, source)
		fail(err)
		fail(writer.Close())
	}
	fail(target.Close())
	fail(json.NewEncoder(os.Stdout).Encode(annotations))
}

// verify reads every file of an eStargz layer by its table and prints their sizes and digests.
func verify(in string, table digest.Digest) {
	source, size := open(in)
	reader, err := estargz.Open(io.NewSectionReader(source, 0, size))
	fail(err)
	verifier, err := reader.VerifyTOC(table)
	fail(err)
	found := map[string]string{}
	walk(reader, verifier, "", found)
	fail(json.NewEncoder(os.Stdout).Encode(found))
}

func walk(reader *estargz.Reader, verifier estargz.TOCEntryVerifier, at string, found map[string]string) {
	entry, ok := reader.Lookup(at)
	if !ok {
		fail(fmt.Errorf("%q is not in the table", at))
	}
	entry.ForeachChild(func(name string, child *estargz.TOCEntry) bool {
		path := name
		if at != "" {
			path = at + "/" + name
		}
		switch child.Type {
		case "dir":
			walk(reader, verifier, path, found)
		case "reg":
			content, err := reader.OpenFile(path)
			fail(err)
			data, err := io.ReadAll(content)
			fail(err)
			for offset := int64(0); offset < child.Size; {
				chunk, ok := reader.ChunkEntryForOffset(path, offset)
				if !ok {
					fail(fmt.Errorf("%q has no chunk at %d", path, offset))
				}
				check, err := verifier.Verifier(chunk)
				fail(err)
				_, err = check.Write(data[chunk.ChunkOffset : chunk.ChunkOffset+chunk.ChunkSize])
				fail(err)
				if !check.Verified() {
					fail(fmt.Errorf("the chunk of %q at %d is another one", path, offset))
				}
				offset = chunk.ChunkOffset + chunk.ChunkSize
			}
			found[path] = digest.FromBytes(data).String()
		default:
			found[path] = child.Type + " " + child.LinkName
		}
		return true
	})
}

func open(name string) (*os.File, int64) {
	source, err := os.Open(name)
	fail(err)
	info, err := source.Stat()
	fail(err)
	return source, info.Size()
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
