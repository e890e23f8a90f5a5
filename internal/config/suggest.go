package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/proposer/proposer/internal/optparse"
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
	bare := make([]string, len(names))
	for i, other := range names {
		bare[i] = strings.ToLower(strings.TrimPrefix(other, Prefix))
	}
	if best := optparse.MostSimilar(strings.TrimPrefix(name, Prefix), bare); best != "" {
		text += ": did you mean " + names[slices.Index(bare, best)] + "?"
	}
	return text
}
