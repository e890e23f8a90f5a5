package config

import (
	"fmt"
	"slices"
	"strings"
)

// unknown returns the message that name is not a setting, with the most similar of names. It
// returns "" if name is one of names. Kong does the same for flags, but does not export it.
func unknown(name string, names []string) string {
	if slices.Contains(names, name) {
		return ""
	}
	if len(name) > 64 {
		return fmt.Sprintf("%q… is not a setting", strings.ToValidUTF8(name[:64], ""))
	}
	text := fmt.Sprintf("%q is not a setting", name)
	bare := func(name string) string { return strings.ToLower(strings.TrimPrefix(name, Prefix)) }
	best, limit := "", len(bare(name))/3+1
	for _, other := range names {
		if d := editDistance(bare(name), bare(other)); d < limit {
			best, limit = other, d
		}
	}
	if best != "" {
		text += ": did you mean " + best + "?"
	}
	return text
}

// editDistance returns the Levenshtein distance of a and b, in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
