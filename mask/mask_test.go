package mask

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

// pixelSet is a reference implementation of a set: a bool per pixel, by column, then row.
type pixelSet struct {
	width, height int
	in            []bool
}

func (p *pixelSet) at(x, y int) bool { return p.in[x*p.height+y] }

func newPixelSet(width, height int) *pixelSet {
	return &pixelSet{width, height, make([]bool, width*height)}
}

func drawPixelSet(t *rapid.T) *pixelSet {
	p := newPixelSet(rapid.IntRange(1, 12).Draw(t, "width"), rapid.IntRange(1, 60).Draw(t, "height"))
	for i := 0; i < len(p.in); {
		n := rapid.IntRange(1, max(1, len(p.in)/2)).Draw(t, "run")
		in := rapid.Bool().Draw(t, "in")
		for ; n > 0 && i < len(p.in); i, n = i+1, n-1 {
			p.in[i] = in
		}
	}
	return p
}

// encode adds each pixel as a run of its own, which the encoder has to join.
func (p *pixelSet) encode() RLE {
	e := NewEncoder(p.width, p.height)
	for i, in := range p.in {
		if in {
			e.Run(i, i+1)
		}
	}
	return e.RLE()
}

func (p *pixelSet) counts() []int {
	counts := []int{0}
	for _, in := range p.in {
		if in != (len(counts)%2 == 0) {
			counts = append(counts, 0)
		}
		counts[len(counts)-1]++
	}
	return counts
}

func (p *pixelSet) box() box.Box {
	var b box.Box
	for x := range p.width {
		for y := range p.height {
			if p.at(x, y) {
				b = b.Union(box.Box{X0: int32(x), Y0: int32(y), X1: int32(x) + 1, Y1: int32(y) + 1})
			}
		}
	}
	return b
}

// referenceText writes counts by the definition of the format: in two's complement, with the
// smallest number of groups of five bits that hold the number and its sign.
func referenceText(counts []int) string {
	var b strings.Builder
	for i, n := range counts {
		if i > 2 {
			n -= counts[i-2]
		}
		magnitude := n
		if n < 0 {
			magnitude = -n - 1
		}
		groups := (bits.Len(uint(magnitude)) + 1 + 4) / 5
		for g := range groups {
			c := n >> (5 * g) & 31
			if g < groups-1 {
				c += 32
			}
			b.WriteByte(byte(48 + c))
		}
	}
	return b.String()
}

func TestEncoderMatchesReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPixelSet(t)
		r := p.encode()
		if got, want := r.Counts(), p.counts(); !slices.Equal(got, want) {
			t.Fatalf("got counts %v, want %v", got, want)
		}
		if got, want := r.String(), referenceText(p.counts()); got != want {
			t.Fatalf("got text %q, want %q", got, want)
		}
		area := 0
		for _, in := range p.in {
			if in {
				area++
			}
		}
		if r.Area() != area || r.Box() != p.box() {
			t.Fatalf("got area %d in %v, want %d in %v", r.Area(), r.Box(), area, p.box())
		}
		again, err := Parse(r.String(), p.width, p.height)
		if err != nil || again != r {
			t.Fatalf("Parse(%q): got %q, %v", r, again, err)
		}
	})
}

func TestUnionMatchesReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawPixelSet(t), drawPixelSet(t)
		if p.width != q.width || p.height != q.height {
			q = &pixelSet{p.width, p.height, rapid.SliceOfN(rapid.Bool(), len(p.in), len(p.in)).Draw(t, "other")}
		}
		union := &pixelSet{p.width, p.height, slices.Clone(p.in)}
		for i, in := range q.in {
			union.in[i] = union.in[i] || in
		}
		if got, want := p.encode().Union(q.encode()), union.encode(); got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestLongRunsMatchReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const width, height = 1, math.MaxInt32
		e := NewEncoder(width, height)
		counts, at := []int{}, 0
		for range rapid.IntRange(0, 6).Draw(t, "runs") {
			if at >= height-2 {
				break
			}
			start := rapid.IntRange(at+min(1, at), height-1).Draw(t, "start")
			end := rapid.IntRange(start+1, height).Draw(t, "end")
			e.Run(start, end)
			counts = append(counts, start-at, end-start)
			at = end
		}
		if at < height {
			counts = append(counts, height-at)
		}
		r := e.RLE()
		if r.String() != referenceText(counts) || !slices.Equal(r.Counts(), counts) {
			t.Fatalf("counts %v: got text %q, want %q", counts, r, referenceText(counts))
		}
		if again, err := Parse(r.String(), width, height); err != nil || again != r {
			t.Fatalf("Parse(%q): got %q, %v", r, again, err)
		}
	})
}

// The texts were written by COCO's own tools.
func TestParseCOCO(t *testing.T) {
	for text, c := range map[string]struct {
		width, height int
		counts        []int
	}{
		"6":     {3, 2, []int{6}},
		"06":    {3, 2, []int{0, 6}},
		"Z11":   {43, 1, []int{42, 1}},
		"52203": {4, 4, []int{5, 2, 2, 2, 5}},
	} {
		t.Run(text, func(t *testing.T) {
			r, err := Parse(text, c.width, c.height)
			if err != nil || !slices.Equal(r.Counts(), c.counts) || r.String() != text {
				t.Errorf("got %v, %q, %v, want %v", r.Counts(), r, err, c.counts)
			}
		})
	}
	const shape = "0g05b08J4M2N2NA^O1`0OCO=0E090H080IO68DH;>@C>a0_O_O`0j0OWOF<:CM72I24NL43JM92FN;1ENKO72L0LO91J0MO92INO0NO122OO0M031O000NO31OO11MO40N011MO41MO21L06OL021L06OL021L06OL021L060J040L060J040L060J040L060J040L060J040L060J040L060KO31L060KO31L06OL021L06OL021L06OL021MO41MO21MO40N100NO310O00M0310O00NO1220NO92IONO91KOMO72M0<1EO:2GN63KM34OLM73JF<;=1G_O_Ob0=AC`07EH=1IO71H090F0:1DO>1_O1b0>2N2N3L6H]O"
	r, err := Parse(shape, 70, 50)
	if err != nil || r.String() != shape || len(r.Counts()) != 366 || r.Area() != 2346 || r.Box() != (box.Box{X1: 70, Y1: 50}) {
		t.Errorf("shape: got error %v, %d runs, %d pixels in %v, text %q", err, len(r.Counts()), r.Area(), r.Box(), r)
	}
}

// Some tools write runs of no pixels.
func TestParseRemovesEmptyRuns(t *testing.T) {
	for _, c := range []struct{ given, want []int }{
		{[]int{0, 0, 0, 3, 2}, []int{0, 3, 2}},
		{[]int{2, 0, 1, 2}, []int{3, 2}},
		{[]int{1, 2, 0, 2, 1}, []int{1, 4, 1}},
		{[]int{0, 4, 0}, []int{0, 4}},
		{[]int{4, 0, 0}, []int{4}},
	} {
		t.Run(fmt.Sprint(c.given), func(t *testing.T) {
			total := 0
			for _, n := range c.given {
				total += n
			}
			r, err := Parse(referenceText(c.given), 1, total)
			if err != nil || !slices.Equal(r.Counts(), c.want) || r.String() != referenceText(c.want) {
				t.Errorf("got %v, %v, want %v", r.Counts(), err, c.want)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		text          string
		width, height int
		want          string
	}{
		{"", 1, 1, "the runs have 0 pixels: want 1×1"},
		{"5", 2, 3, "the runs have 5 pixels: want 2×3"},
		{"7", 2, 3, "run 0 has 7 pixels: want 0 to 6, the rest of 2×3"},
		{"33O", 2, 3, "run 2 has -1 pixels: want 0 to 0"},
		{"1121M", 2, 3, "run 4 has -1 pixels"},
		{"6/", 2, 3, "run 1 has '/': want characters from '0' to 'o'"},
		{"6p", 2, 3, "run 1 has 'p'"},
		{"6\xff", 2, 3, "run 1 has"},
		{"6 ", 2, 3, "run 1 has ' '"},
		{"6P", 2, 3, "run 1 ends within a number"},
		{"PPPPPPP0", 2, 3, "run 0 has a number of more than 7 characters"},
		{strings.Repeat("o", 100), 2, 3, "more than 7 characters"},
		{"oooooo?", math.MaxInt32, 1, "run 0 has 17179869183 pixels"},
		{"0", 0, 1, "image of 0×1: want sides above 0"},
		{"0", 1, -1, "image of 1×-1"},
		{"0", math.MaxInt32, 2, "at most 2147483647 pixels"},
	} {
		t.Run(c.want, func(t *testing.T) {
			r, err := Parse(c.text, c.width, c.height)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) || r != (RLE{}) {
				t.Errorf("Parse(%.20q, %d, %d): got %v and error %v, want error %q", c.text, c.width, c.height, r, err, c.want)
			}
		})
	}
}

func TestEncoderPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"backwards": func() { e := NewEncoder(3, 3); e.Run(4, 5); e.Run(2, 3) },
		"negative":  func() { e := NewEncoder(3, 3); e.Run(-1, 3) },
		"too far":   func() { e := NewEncoder(3, 3); e.Run(4, 10); e.RLE() },
		"inside out": func() {
			e := NewEncoder(3, 3)
			e.Run(4, 2)
			e.RLE()
		},
		"empty image": func() { NewEncoder(0, 3) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if s, ok := recover().(string); !ok || !strings.HasPrefix(s, "mask: ") {
					t.Errorf("got panic %q, want one that begins with \"mask: \"", s)
				}
			}()
			f()
		})
	}
}

// A pixel of the result is in the set if the pixel is whose rescaled box it lies in.
func TestRescaleMatchesReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPixelSet(t)
		q := newPixelSet(rapid.IntRange(1, 50).Draw(t, "new width"), rapid.IntRange(1, 130).Draw(t, "new height"))
		for x := range int32(p.width) {
			for y := range int32(p.height) {
				b := box.Box{X0: x, Y0: y, X1: x + 1, Y1: y + 1}.Rescale(p.width, p.height, q.width, q.height)
				for X := b.X0; X < b.X1; X++ {
					for Y := b.Y0; Y < b.Y1; Y++ {
						q.in[int(X)*q.height+int(Y)] = p.at(int(x), int(y))
					}
				}
			}
		}
		r := p.encode()
		got := r.Rescale(q.width, q.height)
		if want := q.encode(); got != want {
			t.Fatalf("counts %v: got %v, want %v", r.Counts(), got.Counts(), want.Counts())
		}
		if q.width >= p.width && q.height >= p.height && r.Area() > 0 {
			if want := r.Box().Rescale(p.width, p.height, q.width, q.height); got.Box() != want {
				t.Fatalf("got box %v, want %v", got.Box(), want)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("52203", 4, 4)
	f.Add("Z11", 43, 1)
	f.Add("06", 2, 3)
	f.Add("000120", 1, 5)
	f.Add("oooooo0", 1<<16, 1<<15)
	f.Fuzz(func(t *testing.T, s string, width, height int) {
		r, err := Parse(s, width, height)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || r != (RLE{}) {
				t.Fatalf("got %v and error %v, want the zero RLE and an ErrInvalid", r, err)
			}
			return
		}
		sum := 0
		for i, n := range r.Counts() {
			if n < 0 || n == 0 && i > 0 {
				t.Fatalf("Parse(%q): run %d of %v is empty", s, i, r.Counts())
			}
			sum += n
		}
		again, err := Parse(r.String(), width, height)
		if err != nil || again != r || sum != width*height {
			t.Fatalf("Parse(%q, %d, %d): got %q, then %q, %v", s, width, height, r, again, err)
		}
		b := r.Box()
		if a := int64(r.Area()); a > b.Area() || (a == 0) != b.Empty() || int(b.X1) > width || int(b.Y1) > height {
			t.Fatalf("got %d pixels in %v of %d×%d", a, b, width, height)
		}
	})
}
