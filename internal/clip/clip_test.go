package clip

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// written returns the number of bytes of s in JSON or quoted, whichever is more.
func written(s string) int {
	body, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return max(len(body), len(strconv.Quote(s))) - len(`""`)
}

func anyText() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		part := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		return strings.Repeat(part.Draw(t, "part"), rapid.IntRange(1, 20).Draw(t, "times"))
	})
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		text string
		size int
		want string
	}{
		{"", 3, ""},
		{"abc", 3, "abc"},
		{"abcd", 3, "…"},
		{"abcdef", 5, "ab…"},
		{"äöü", 6, "äöü"},
		{"äöüß", 7, "äö…"},
		{"\x00\x00", 11, "\x00…"},
		{"\xff\xff", 12, "\xff\xff"},
		{"<<", 9, "<…"},
		{`""""`, 8, `""""`},
	} {
		if got := Text(c.text, c.size); got != c.want {
			t.Errorf("Text(%q, %d): got %q, want %q", c.text, c.size, got, c.want)
		}
	}
}

func TestTextSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyText().Draw(t, "text")
		size := rapid.IntRange(3, 300).Draw(t, "size")
		if n := Size(s, 1<<20); n < written(s) {
			t.Fatalf("Size(%q): got %d, but it is written as %d bytes", s, n, written(s))
		}
		got := Text(s, size)
		if n := written(got); n > size {
			t.Errorf("Text(%q, %d): got %q of %d bytes", s, size, got, n)
		}
		if Size(s, size) <= size && got != s {
			t.Errorf("Text(%q, %d): got %q, want no change", s, size, got)
		}
		if rest, cut := strings.CutSuffix(got, ellipsis); got != s && (!cut || !strings.HasPrefix(s, rest)) {
			t.Errorf("Text(%q, %d): got %q, want a prefix", s, size, got)
		}
	})
}

func TestTexts(t *testing.T) {
	for _, c := range []struct {
		total      int
		texts, got string // separated by spaces
	}{
		{9, "aaa bbb ccc", "aaa bbb ccc"},
		{12, "aaaaaaaaa b ccccccccc", "aa… b cc…"},
		{14, "aaaaaaaaa bbbbb c", "aaaaa… bbbbb c"},
		{9, "aaaa bbbb cccc", "… … …"},
	} {
		texts := strings.Fields(c.texts)
		var all []*string
		for i := range texts {
			all = append(all, &texts[i])
		}
		Texts(c.total, all...)
		if got := strings.Join(texts, " "); got != c.got {
			t.Errorf("Texts(%d, %s): got %s, want %s", c.total, c.texts, got, c.got)
		}
	}
	Texts(3) // of nothing
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(anyText(), 1, 8).Draw(t, "texts")
		total := rapid.IntRange(3*len(texts), 500).Draw(t, "total")
		got := append([]string(nil), texts...)
		var all []*string
		for i := range got {
			all = append(all, &got[i])
		}
		Texts(total, all...)
		sum := 0
		for _, text := range got {
			sum += written(text)
		}
		if sum > total {
			t.Errorf("Texts(%d, %q): got %q, of %d bytes", total, texts, got, sum)
		}
	})
}
