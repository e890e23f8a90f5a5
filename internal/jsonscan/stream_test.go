package jsonscan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
)

// readers returns readers of a text that return different numbers of bytes.
func readers(text string) map[string]io.Reader {
	return map[string]io.Reader{
		"at once":          strings.NewReader(text),
		"byte by byte":     iotest.OneByteReader(strings.NewReader(text)),
		"the end with EOF": iotest.DataErrReader(strings.NewReader(text)),
	}
}

func TestStream(t *testing.T) {
	text := "\xef\xbb\xbf" + ` {"a" : [1, -2.5e+3 ,"x\"]\u00e9", null,true , NaN,-Infinity,Infinity, {}, [ ], {"b":[{"c":"}"}]}], "\u0062": 5 } ` + "\n"
	want := `a 1 -2.5e+3 "x\"]\u00e9" null true NaN -Infinity Infinity {} [ ] {"b":[{"c":"}"}]} b skipped end`
	for name, r := range readers(text) {
		t.Run(name, func(t *testing.T) {
			got := ""
			s := NewStream(r, 100)
			err := s.Object(func(key string) error {
				got += key + " "
				if key == "b" {
					got += "skipped "
					return s.Skip()
				}
				return s.Array(func() error {
					value, err := s.Value()
					got += string(value) + " "
					return err
				})
			})
			if err == nil {
				err = s.End()
			}
			if got += "end"; got != want || err != nil {
				t.Errorf("got %s, %v\nwant %s", got, err, want)
			}
			if s.Offset() != int64(len(text)) {
				t.Errorf("consumed %d bytes of %d", s.Offset(), len(text))
			}
		})
	}
}

func TestStreamErrors(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, c := range []struct {
		text, want string
		offset     int64
	}{
		{``, "unexpected end", 0},
		{`[1`, "unexpected end", 2},
		{`"a`, "unexpected end", 2},
		{`"\`, "unexpected end", 2},
		{`[1 2]`, `'2': want a comma or ']'`, 3},
		{`[1}`, `'}': want a comma or ']'`, 2},
		{`[}`, `'}': want ']'`, 1},
		{`[,]`, `',': want a value`, 1},
		{`[1,]`, `']': want a value`, 3},
		{`{"a"}`, "want a colon after a name", 4},
		{`{"a":1,}`, `'}': want a name in quotes`, 7},
		{`{a:1}`, `'a': want a name in quotes`, 1},
		{`nil`, `"nil": want a value`, 0},
		{`[-]`, `"-": want a value`, 1},
		{`[1.5f]`, `"1.5f": want a value`, 1},
		{`[1e]`, `"1e": want a value`, 1},
		{`[nan]`, `"nan": want a value`, 1},
		{`[+Infinity]`, `"+Infinity": want a value`, 1},
		{"\"\n\"", "control character 0x0a in a string", 1},
		{`"\x"`, "invalid escape sequence in a string", 1},
		{`"\u12g4"`, "invalid escape sequence in a string", 1},
		{"\xc3", "byte 0xc3: want a value", 0},
		{strings.Repeat("[", maxDepth+1), "nested more than 10000 times", maxDepth},
	} {
		t.Run(fmt.Sprintf("%.12s", c.text), func(t *testing.T) {
			for name, r := range readers(c.text) {
				s := NewStream(r, 1<<20)
				value, err := s.Value()
				e, ok := errors.AsType[*SyntaxError](err)
				if !ok || e.Msg != c.want || e.Offset != c.offset || value != nil {
					t.Errorf("%s: got %q, %v, want %q at %d", name, value, err, c.want, c.offset)
				}
				if err := s.Skip(); !errors.Is(err, e) {
					t.Errorf("%s: then %v, want the same error", name, err)
				}
			}
		})
	}
	for _, text := range []string{`"` + long + `"`, `[1, "` + long + `"]`, `{"` + long + `": 1}`, strings.Repeat("1", 200), "[" + strings.Repeat("1, ", 200) + "1]"} {
		if value, err := NewStream(strings.NewReader(text), 100).Value(); err == nil || !strings.Contains(err.Error(), "longer than 100 bytes") {
			t.Errorf("%.20s: got %q, %v", text, value, err)
		}
	}
	if err := NewStream(strings.NewReader("["+strings.Repeat("1, ", 200)+"1]"), 100).Skip(); err != nil {
		t.Errorf("skip a long array: %v", err)
	}
	for _, text := range []string{"\xff\xfe", "\xfe\xff\x00{", "{\x00", "\x00{"} {
		if _, err := NewStream(strings.NewReader(text), 100).Value(); !errors.Is(err, ErrEncoding) {
			t.Errorf("%q: got %v, want ErrEncoding", text, err)
		}
	}
	broken := errors.New("broken")
	for _, begin := range []string{"", "[1, ", "\"a"} {
		if _, err := NewStream(io.MultiReader(strings.NewReader(begin), iotest.ErrReader(broken)), 100).Value(); !errors.Is(err, broken) {
			t.Errorf("%q: got %v, want the error of the reader", begin, err)
		}
	}
	s := NewStream(strings.NewReader("[] x"), 100)
	if err := s.Skip(); err != nil {
		t.Fatal(err)
	}
	if err := s.End(); err == nil || err.Error() != `invalid JSON at byte 3: 'x' after the end` {
		t.Errorf("got %v", err)
	}
}

// lenient matches strings, and the numbers that Stream accepts.
var lenient = regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*"|-?Infinity|NaN|[-+.0-9][-+.0-9eE]*`)

// FuzzStream compares Stream with encoding/json: it accepts the same texts, but for numbers.
func FuzzStream(f *testing.F) {
	f.Add([]byte(`{"a": [1, -2.5e+3, "x\"]\u00e9", null, true, {}, [ ], {"b": [{"c": "}"}]}]}`))
	f.Add([]byte(`[NaN, -Infinity, 1., 1e]`))
	f.Add([]byte("[\"\\u00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		// Strings keep their places, numbers become 0.
		strict := lenient.ReplaceAllFunc(text, func(token []byte) []byte {
			last := token[len(token)-1]
			if token[0] == '"' || bytes.ContainsAny(token, "e+") && !bytes.ContainsAny(token, "0123456789") {
				return token
			}
			if last == 'N' || last == 'y' || bytes.ContainsAny(token, "0123456789") && (last == '.' || last >= '0' && last <= '9') {
				return []byte("0")
			}
			return token
		})
		want := json.Valid(strict)
		for name, r := range readers(string(text)) {
			s := NewStream(r, 1<<20)
			value, err := s.Value()
			value = bytes.Clone(value)
			if err == nil {
				err = s.End()
			}
			if _, ok := errors.AsType[*SyntaxError](err); err != nil && !ok && !errors.Is(err, ErrEncoding) {
				t.Fatalf("%s: %v", name, err)
			}
			special := bytes.HasPrefix(text, []byte("\xef\xbb\xbf")) || bytes.IndexByte(text, 0) >= 0 || bytes.IndexByte(text, 0xff) >= 0 || bytes.IndexByte(text, 0xfe) >= 0
			if (err == nil) != want && !special {
				t.Fatalf("%s: %q: got %q, %v; encoding/json accepts %q: %t", name, text, value, err, strict, want)
			}
			if err == nil && !bytes.Equal(value, bytes.Trim(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), " \t\r\n")) {
				t.Fatalf("%s: got %q of %q", name, value, text)
			}
			if err == nil { // the text is valid, so the scanner in place has to agree
				again := New(value)
				if got := again.Value(); !bytes.Equal(got, value) {
					t.Fatalf("got %q of %q", got, value)
				}
			}
		}
	})
}
