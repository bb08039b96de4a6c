// Reads lines of names, and prints of each the highest version as kairos-init chooses it, or - where there is none.
package main

import (
	"bufio"
	"fmt"
	"os"
	"sort"
	"strings"

	version "github.com/hashicorp/go-version"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<20)
	for lines.Scan() {
		var found []*version.Version
		for _, name := range strings.Split(lines.Text(), " ") {
			if one, err := version.NewVersion(name); err == nil {
				found = append(found, one)
			}
		}
		if len(found) == 0 {
			fmt.Println("-")
			continue
		}
		sort.Sort(version.Collection(found))
		fmt.Println(found[len(found)-1].String())
	}
}
