// Reads image names, one a line of JSON, and prints what distribution's reference package makes of each.
package main

import (
	"bufio"
	_ "crypto/sha256" // digests of an algorithm are known where it is linked
	_ "crypto/sha512"
	"encoding/json"
	"os"

	"github.com/distribution/reference"
)

type answer struct {
	Error      string `json:"error"`
	Domain     string `json:"domain"`
	Path       string `json:"path"`
	Tag        string `json:"tag"`
	Digest     string `json:"digest"`
	IsNameOnly bool   `json:"is_name_only"`
}

func judge(name string) answer {
	written, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return answer{Error: err.Error()}
	}
	named, err := reference.ParseDockerRef(name)
	if err != nil {
		return answer{Error: err.Error()}
	}
	found := answer{Domain: reference.Domain(named), Path: reference.Path(named), IsNameOnly: reference.IsNameOnly(written)}
	if tagged, ok := named.(reference.Tagged); ok {
		found.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		found.Digest = digested.Digest().String()
	}
	return found
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var name string
		if err := json.Unmarshal(lines.Bytes(), &name); err != nil {
			panic(err)
		}
		if err := out.Encode(judge(name)); err != nil {
			panic(err)
		}
	}
}
