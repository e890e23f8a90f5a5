package codec

import (
	"testing"

	"pgregory.net/rapid"
)

// A JSON object is no larger than its bound, and that is not far from it.
func TestJSONSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRich(t)
		text, err := AppendJSON(nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		got := JSONSize(&r)
		if n := int64(len(text)); got < n || got > 3*n+2<<10 {
			t.Fatalf("got a bound of %d for %d bytes", got, n)
		}
	})
}
