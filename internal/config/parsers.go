package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Parser keeps what a text says, or tells what it wants instead and keeps nothing.
type Parser func(text string) (want string)

// Text keeps any text.
func Text(to *string) Parser {
	return func(text string) string {
		*to = text
		return ""
	}
}

// Whole keeps a whole number from least to most.
func Whole[T int | int64](to *T, least, most T) Parser {
	return func(text string) string {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < int64(least) || n > int64(most) {
			return fmt.Sprintf("a whole number from %d to %d", least, most)
		}
		*to = T(n)
		return ""
	}
}

// units of bytes.
var units = map[string]int64{
	"": 1, "B": 1,
	"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

// Bytes keeps a number of bytes from least to most, written as 1000000, 500MB or 64MiB.
func Bytes(to *int64, least, most int64) Parser {
	return func(text string) string {
		digits := strings.TrimRight(text, "kKMGTiB")
		unit, ok := units[text[len(digits):]]
		n, err := strconv.ParseInt(digits, 10, 64)
		if !ok || err != nil || n < 0 || n > math.MaxInt64/unit || n*unit < least || n*unit > most {
			return fmt.Sprintf("bytes from %d to %s, as in 1000000, 500MB or 64MiB", least, FormatBytes(most))
		}
		*to = n * unit
		return ""
	}
}

// FormatBytes writes a number of bytes as [Bytes] reads it, in the largest unit of 1024 that
// it is a multiple of.
func FormatBytes(n int64) string {
	for _, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if n != 0 && n%units[unit] == 0 {
			return strconv.FormatInt(n/units[unit], 10) + unit
		}
	}
	return strconv.FormatInt(n, 10)
}

// Duration keeps a time from least to most, written as 1m30s.
func Duration(to *time.Duration, least, most time.Duration) Parser {
	return func(text string) string {
		d, err := time.ParseDuration(text)
		if err != nil || d < least || d > most {
			return fmt.Sprintf("a time from %s to %s, as in 500ms or 1m30s", FormatDuration(least), FormatDuration(most))
		}
		*to = d
		return ""
	}
}

// FormatDuration writes a time as a person would: 1m, not 1m0s.
func FormatDuration(d time.Duration) string {
	text := d.String()
	for _, none := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, none) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// OneOf keeps one of the words.
func OneOf(to *string, words ...string) Parser {
	return func(text string) string {
		if !slices.Contains(words, text) {
			return "one of " + strings.Join(words, ", ")
		}
		*to = text
		return ""
	}
}

// Auto calls auto for the word auto, and takes anything else to parse.
func Auto(auto func(), parse Parser) Parser {
	return func(text string) string {
		if text == "auto" {
			auto()
			return ""
		}
		if want := parse(text); want != "" {
			return "auto, or " + want
		}
		return ""
	}
}

// List keeps what is between commas, without the spaces around, if all of it is right. Nothing
// is an empty list.
func List(to *[]string, want string, right func(string) bool) Parser {
	return func(text string) string {
		var list []string
		if strings.TrimSpace(text) != "" {
			list = strings.Split(text, ",")
		}
		for i := range list {
			if list[i] = strings.TrimSpace(list[i]); !right(list[i]) {
				return want
			}
		}
		*to = list
		return ""
	}
}
