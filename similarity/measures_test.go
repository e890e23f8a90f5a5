package similarity

import "testing"

func TestParseWeights(t *testing.T) {
	for _, test := range []struct {
		in   string
		want Weights
	}{
		{"CTSF", Weights{1, 1, 1, 1}},
		{"TSF", Weights{0, 1, 1, 1}},
		{"F", Weights{Fill: 1}},
		{"FC", Weights{Color: 1, Fill: 1}},
		{"C0.5TS0.25", Weights{0.5, 1, 0.25, 0}},
		{"T1e-3", Weights{Texture: 1e-3}},
	} {
		t.Run(test.in, func(t *testing.T) {
			if got, err := ParseWeights(test.in); err != nil || got != test.want {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
		})
	}
	for _, bad := range []string{"", "X", "CC", "C0", "C2", "C-1", "CNaN", "CInf", "c", "C T", "0.5", "C0.5.5"} {
		t.Run("invalid "+bad, func(t *testing.T) {
			if w, err := ParseWeights(bad); err == nil {
				t.Errorf("got %v, want an error", w)
			}
		})
	}
}

func FuzzParseWeights(f *testing.F) {
	for _, s := range []string{"CTSF", "C0.5TS0.25", "F", "CC", "T1e-3", "C0x1p-2", "CInf"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, err := ParseWeights(s)
		if err != nil {
			return
		}
		if err := w.Validate(); err != nil {
			t.Fatalf("%q parses to %v: %v", s, w, err)
		}
		if again, err := ParseWeights(w.String()); err != nil || again != w {
			t.Fatalf("%q parses to %v, but its string %q to %v, %v", s, w, w.String(), again, err)
		}
	})
}
