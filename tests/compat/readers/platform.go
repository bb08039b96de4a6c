package main

import (
	"encoding/json"
	"sort"
	"strconv"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// match says which of an index's platforms, JSON objects or "null", containerd takes for the one that is wanted
// (images/image.go: Manifest).
func match(wanted string, found []string) (string, error) {
	parsed, err := platforms.Parse(wanted)
	if err != nil {
		return "", err
	}
	matcher := platforms.Only(parsed)
	given := make([]*ocispec.Platform, len(found))
	var matching []int
	for number, text := range found {
		if err := json.Unmarshal([]byte(text), &given[number]); err != nil {
			return "", err
		}
		if given[number] == nil || matcher.Match(*given[number]) {
			matching = append(matching, number)
		}
	}
	sort.SliceStable(matching, func(i, j int) bool {
		left, right := given[matching[i]], given[matching[j]]
		if left == nil {
			return false
		}
		return right == nil || matcher.Less(*left, *right)
	})
	if len(matching) == 0 {
		return "-1", nil
	}
	return strconv.Itoa(matching[0]), nil
}
