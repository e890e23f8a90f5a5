package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/objectness"
)

func TestTrain(t *testing.T) {
	dir, _ := writeDataset(t, 4)
	out, curve := filepath.Join(t.TempDir(), "ranker.json"), filepath.Join(t.TempDir(), "curve.csv")
	for flags, steps := range map[string][2]int{
		"--loss=ce": {1, 5}, "--loss=alpha --model=trees": {0, 5}, "--loss=focal --model=network": {1, 0}, "--model=linear": {1, 0},
	} {
		args := []string{"train", "--data", dir, "--out", out, "--trees=5", "--epochs=1", "--folds=2", "--curve", curve, "--without=votes"}
		table, msg, code := call(t, nil, append(args, strings.Fields(flags)...)...)
		if code != exitOK || !strings.Contains(table, "2 folds") || !strings.Contains(msg, "pictures") {
			t.Fatalf("%s: exit code %d, %q, %q", flags, code, table, msg)
		}
		data, err := os.ReadFile(curve)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(data), "\nnetwork,"); n < steps[0] || n > 0 && steps[0] == 0 {
			t.Errorf("%s: %d steps of a network", flags, n)
		}
		if n := strings.Count(string(data), "\ntrees,"); n != steps[1] {
			t.Errorf("%s: %d trees; want %d", flags, n, steps[1])
		}
	}
	if table, msg, code := call(t, nil, "train", "--data", dir, "--judge", dir, "--out", out, "--trees=5", "--epochs=1"); code != exitOK || !strings.Contains(table, filepath.Base(dir)) {
		t.Fatalf("exit code %d, %q, %q", code, table, msg)
	}
	file := writeScene(t, 11)
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), `"figures":[{"boxes":10,"ar":`) {
		t.Error("no figures in the file")
	}
	own, msg, code := call(t, nil, "propose", "--ranker", out, file)
	if code != exitOK {
		t.Fatal(msg)
	}
	if theirs, _, _ := call(t, nil, "propose", file); timeless(own) == timeless(theirs) {
		t.Error("another ranker gives the same order")
	}
}

func TestTrainUsage(t *testing.T) {
	dir, _ := writeDataset(t, 1)
	out := filepath.Join(t.TempDir(), "ranker.json")
	for args, want := range map[string]string{
		"--trees=-1":              "-1 trees: want 0 to",
		"--trees=0 --epochs=0":    "neither trees nor",
		"--folds=1":               "--folds 1: want 2 to",
		"--model=forest":          "--model",
		"--rate=2":                "want numbers in (0,1]",
		"--loss=focal --gamma=-1": "",
		"--loss=hinge":            "--loss",
	} {
		_, msg, code := call(t, nil, append([]string{"train", "--data", dir, "--out", out}, strings.Fields(args)...)...)
		if code != exitUsage || !strings.Contains(msg, want) {
			t.Errorf("%s: exit code %d, %q; want %d, %q", args, code, msg, exitUsage, want)
		}
	}
	if _, msg, code := call(t, nil, "train", "--data", dir); code != exitUsage || !strings.Contains(msg, "neither --out nor --folds") {
		t.Errorf("nothing to do: exit code %d, %q", code, msg)
	}
	if _, msg, code := call(t, nil, "train", "--data", dir, "--folds=2", "--judge", dir); code != exitUsage || !strings.Contains(msg, "--out") {
		t.Errorf("nothing to judge: exit code %d, %q", code, msg)
	}
	bad := filepath.Join(t.TempDir(), "bad.json")
	write(t, bad, []byte("{}"))
	for _, file := range []string{bad, bad + ".not"} {
		if _, msg, code := call(t, nil, "propose", "--ranker", file, writeScene(t, 11)); code != exitUsage || !strings.Contains(msg, "--ranker") {
			t.Errorf("%s: exit code %d, %q", file, code, msg)
		}
	}
}

func TestMatches(t *testing.T) {
	objects := []dataset.Object{
		{X0: 0, Y0: 0, X1: 10, Y1: 10},
		{X0: 0, Y0: 0, X1: 100, Y1: 50, Difficult: true},
		{X0: 0, Y0: 0, X1: 10, Y1: 20},
	}
	proposals := []candidate.Candidate{
		{Box: box.Box{X1: 10, Y1: 18}}, {Box: box.Box{X1: 100, Y1: 100}}, {Box: box.Box{X1: 100, Y1: 101}}, {Box: box.Box{X0: 200, X1: 201, Y1: 1}},
	}
	want := []objectness.Match{{Object: 2, IoU: .9, Ignore: true}, {Object: 2, IoU: .02, Ignore: true}, {Object: 2, IoU: 200. / 10100}, {}}
	if got := matches(proposals, objects); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
