// Gotar reads tar archives with archive/tar, the reader of every container runtime, and says what it sees.
//
// Standard input holds archives, each behind its length in eight bytes, big-endian. For each archive there is one JSON
// object a line for every entry whose header and content could be read, and at its end {"end": true} or {"error": "..."}.
// Names and other strings are base64, for they need not be UTF-8. Of a file larger than `most` only the start is read,
// which its object says: a sparse header of a few bytes can claim any size.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sort"
	"strings"
)

const most = 8 << 20

type entry struct {
	Name   []byte      `json:"name"`
	Type   byte        `json:"type"`
	Mode   int64       `json:"mode"`
	Uid    int         `json:"uid"`
	Gid    int         `json:"gid"`
	Size   int64       `json:"size"`
	Mtime  int64       `json:"mtime"`
	Link   []byte      `json:"link"`
	Major  int64       `json:"major"`
	Minor  int64       `json:"minor"`
	Sha256 string      `json:"sha256"`
	Large  bool        `json:"large"`
	Xattrs [][2][]byte `json:"xattrs"`
}

func main() {
	in := bufio.NewReader(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	lines := json.NewEncoder(out)
	for {
		var length [8]byte
		if _, err := io.ReadFull(in, length[:]); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			panic(err)
		}
		archive := make([]byte, binary.BigEndian.Uint64(length[:]))
		if _, err := io.ReadFull(in, archive); err != nil {
			panic(err)
		}
		if err := read(bytes.NewReader(archive), lines); err != nil {
			lines.Encode(map[string]any{"error": err.Error()})
		} else {
			lines.Encode(map[string]any{"end": true})
		}
		out.Flush()
	}
}

func read(archive io.Reader, lines *json.Encoder) error {
	// Hidden from the reader that the archive can seek: it would not notice where the archive ends.
	reader := tar.NewReader(struct{ io.Reader }{archive})
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		sum := sha256.New()
		count, err := io.Copy(sum, io.LimitReader(reader, most))
		if err != nil {
			return err
		}
		large := count == most
		if err := lines.Encode(entry{
			Name: []byte(header.Name), Type: header.Typeflag, Mode: header.Mode, Uid: header.Uid, Gid: header.Gid,
			Size: header.Size, Mtime: header.ModTime.Unix(), Link: []byte(header.Linkname),
			Major: header.Devmajor, Minor: header.Devminor, Sha256: hex.EncodeToString(sum.Sum(nil)), Large: large,
			Xattrs: xattrs(header),
		}); err != nil {
			return err
		}
	}
}

func xattrs(header *tar.Header) [][2][]byte {
	found := [][2][]byte{}
	for key, value := range header.PAXRecords { // as containerd and Docker do, empty values included
		if name := strings.TrimPrefix(key, "SCHILY.xattr."); name != key {
			found = append(found, [2][]byte{[]byte(name), []byte(value)})
		}
	}
	sort.Slice(found, func(i, j int) bool { return bytes.Compare(found[i][0], found[j][0]) < 0 })
	return found
}
