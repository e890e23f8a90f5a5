package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTrain(t *testing.T) {
	dir, _ := writeDataset(t, 4)
	for _, c := range []struct {
		flags                  string
		minNetworkSteps, trees int // of the loss curve
	}{
		{"--loss=ce", 1, 5},
		{"--loss=alpha --model=trees", 0, 5},
		{"--loss=focal --model=network", 1, 0},
		{"--model=linear", 1, 0},
	} {
		t.Run(c.flags, func(t *testing.T) {
			curve := filepath.Join(t.TempDir(), "curve.csv")
			args := []string{
				"train", "--data", dir, "--out", filepath.Join(t.TempDir(), "model.json"), "--curve", curve,
				"--trees=5", "--epochs=1", "--folds=2", "--without=votes",
			}
			table, msg, code := call(t, nil, append(args, strings.Fields(c.flags)...)...)
			if code != exitOK || !strings.Contains(table, "2 folds") || !strings.Contains(msg, "4 images") {
				t.Fatalf("got exit code %d, table %q, message %q", code, table, msg)
			}
			data, err := os.ReadFile(curve)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(data), "\nnetwork,"); n < c.minNetworkSteps || n > 0 && c.minNetworkSteps == 0 {
				t.Errorf("got %d steps of the network, want at least %d, or 0", n, c.minNetworkSteps)
			}
			if n := strings.Count(string(data), "\ntrees,"); n != c.trees {
				t.Errorf("got %d trees, want %d", n, c.trees)
			}
		})
	}
}

// A trained model holds its metrics on another data set, and ranks.
func TestTrainedModel(t *testing.T) {
	dir, _ := writeDataset(t, 4)
	out := filepath.Join(t.TempDir(), "model.json")
	table, msg, code := call(t, nil, "train", "--data", dir, "--judge", dir, "--out", out, "--trees=5", "--epochs=1")
	if code != exitOK || !strings.Contains(table, filepath.Base(dir)) {
		t.Fatalf("got exit code %d, table %q, message %q", code, table, msg)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), `"figures":[{"boxes":10,"ar":`) {
		t.Error("the model file has no metrics")
	}
	file := writeScene(t, 11)
	trained, msg, code := call(t, nil, "propose", "--ranker", out, file)
	if code != exitOK {
		t.Fatalf("got exit code %d, message %q", code, msg)
	}
	if builtIn, _, _ := call(t, nil, "propose", file); timeless(trained) == timeless(builtIn) {
		t.Error("the trained model ranks as the built-in one does")
	}
}

func TestTrainUsage(t *testing.T) {
	dir, _ := writeDataset(t, 1)
	out := "--out=" + filepath.Join(t.TempDir(), "model.json")
	for _, c := range []struct{ name, flags, want string }{
		{"negative trees", "--trees=-1 " + out, `--trees "-1": want a whole number of at least 0`},
		{"empty model", "--trees=0 --epochs=0 " + out, "neither trees nor"},
		{"one fold", "--folds=1 " + out, "--folds 1: want 2 to"},
		{"unknown model", "--model=forest " + out, "--model"},
		{"rate", "--rate=2 " + out, "--rate 2: want a number above 0, at most 1"},
		{"negative gamma", "--loss=focal --gamma=-1 " + out, `--gamma "-1": want a number from 0 to 100`},
		{"alpha", "--loss=alpha --alpha=1.5 " + out, `--alpha "1.5": want a number from 0 to 1`},
		{"alpha NaN", "--loss=focal --alpha=NaN " + out, `--alpha "NaN": want a number from 0 to 1`},
		{"unknown loss", "--loss=hinge " + out, "--loss"},
		{"unknown feature group", "--without=votes,sides " + out, `unknown feature group "sides": want some of trees, place, votes, inside, around, grid`},
		{"part of a feature group", "--without=vote " + out, `unknown feature group "vote"`},
		{"empty feature group", "--without=votes, " + out, `unknown feature group ""`},
		{"nothing to do", "", "neither --out nor --folds"},
		{"nothing to evaluate", "--folds=2 --judge=" + dir, "want --out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, msg, code := call(t, nil, append([]string{"train", "--data", dir}, strings.Fields(c.flags)...)...)
			if code != exitUsage || !strings.Contains(msg, c.want) {
				t.Errorf("got exit code %d, message %q, want %d, %q", code, msg, exitUsage, c.want)
			}
		})
	}
}

func TestInvalidRanker(t *testing.T) {
	invalid := filepath.Join(t.TempDir(), "invalid.json")
	write(t, invalid, []byte("{}"))
	for name, file := range map[string]string{"invalid": invalid, "missing": invalid + ".not"} {
		t.Run(name, func(t *testing.T) {
			_, msg, code := call(t, nil, "propose", "--ranker", file, writeScene(t, 11))
			if code != exitUsage || !strings.Contains(msg, "--ranker") {
				t.Errorf("got exit code %d, message %q, want %d and the flag", code, msg, exitUsage)
			}
		})
	}
}
