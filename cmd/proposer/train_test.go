package main

import (
	"bytes"
	"fmt"
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
		{"--loss=ce --units=20,5", 1, 5},
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
	again := filepath.Join(t.TempDir(), "again.json")
	if _, msg, code := call(t, nil, "train", "--data", dir, "--ranker", out, "--out", again, "--trees=5", "--epochs=1"); code != exitOK {
		t.Errorf("trained with a ranker: got exit code %d, message %q", code, msg)
	}
	if builtIn, _, _ := call(t, nil, "propose", file); timeless(trained) == timeless(builtIn) {
		t.Error("the trained model ranks as the built-in one does")
	}
}

// The images of all data sets are used, at any number of threads with the same result. Only those of
// the first are validated.
func TestTrainOnSeveralDatasets(t *testing.T) {
	first, _ := writeDataset(t, 4)
	second, _ := writeDataset(t, 3)
	images := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(filepath.Join(second, "images"), images); err != nil {
		t.Fatal(err)
	}
	var want []byte
	for _, threads := range []int{1, 3} {
		t.Run(fmt.Sprint(threads), func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "model.json")
			table, msg, code := call(t, nil, "train", "--data", first, "--data", second, "--images=", "--images", images,
				"--partial=2", "--data-weight=1,0.5", "--samples=100", "--threads", fmt.Sprint(threads), "--out", out, "--trees=5", "--epochs=1", "--folds=2")
			if code != exitOK || !strings.Contains(msg, "7 images") || !strings.Contains(table, "\n2 folds         4 ") {
				t.Fatalf("got exit code %d, table %q, message %q", code, table, msg)
			}
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if data := fmt.Sprintf(`"data":"%s (weight 1), %s (partial, weight 0.5)"`, filepath.Base(first), filepath.Base(second)); !strings.Contains(string(got), data) {
				t.Errorf("the model file does not contain %s: %.200s", data, got)
			}
			if want == nil {
				want = got
			} else if !bytes.Equal(got, want) {
				t.Error("the model depends on the number of threads")
			}
		})
	}
}

// A data set without objects is reported, as its annotations may have been left out by mistake.
func TestTrainWithoutObjects(t *testing.T) {
	dir, _ := writeDataset(t, 1)
	empty, _ := writeDataset(t, 2)
	write(t, filepath.Join(empty, "instances.json"), []byte(
		`{"images": [{"id": 0, "file_name": "0.jpg", "width": 96, "height": 64}], "annotations": [], "categories": []}`))
	for _, c := range []struct{ name, flags, want string }{
		{"background", "", empty + ": the data set has no objects: all its boxes are background"},
		{"partial", "--partial=2", empty + ": the data set has no objects: with --partial it has no samples"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, msg, code := call(t, nil, append([]string{
				"train", "--data", dir, "--data", empty, "--trees=1", "--epochs=0",
				"--out", filepath.Join(t.TempDir(), "model.json"),
			}, strings.Fields(c.flags)...)...)
			if code != exitOK || strings.Count(msg, "has no objects") != 1 || !strings.Contains(msg, c.want) {
				t.Errorf("got exit code %d, message %q, want %d, %q", code, msg, exitOK, c.want)
			}
		})
	}
}

func TestTrainWithoutImages(t *testing.T) {
	dir, files := writeDataset(t, 2)
	for _, file := range files {
		write(t, file, []byte("text"))
	}
	_, msg, code := call(t, nil, "train", "--data", dir, "--out", filepath.Join(t.TempDir(), "model.json"))
	if want := "none of 2 images could be searched"; code != exitFailed || !strings.Contains(msg, want) {
		t.Errorf("got exit code %d, message %q, want %d, %q", code, msg, exitFailed, want)
	}
}

func TestTrainUsage(t *testing.T) {
	dir, _ := writeDataset(t, 1)
	out := "--out=" + filepath.Join(t.TempDir(), "model.json")
	for _, c := range []struct{ name, flags, want string }{
		{"negative trees", "--trees=-1 " + out, "--trees -1: want 0 to 10000"},
		{"tree samples", "--tree-samples=0 " + out, "--tree-samples 0: want 1 to"},
		{"epochs", "--epochs=-1 " + out, "--epochs -1: want 0 to 1000"},
		{"units", "--units=513 " + out, "--units 513: want 0 to 512"},
		{"layers", "--units=9,8,7 " + out, "--units 9,8,7: want 0 to 512, and after a first layer at most 128 of a second"},
		{"second layer alone", "--units=0,8 " + out, "--units 0,8: want 0 to 512, and after a first layer"},
		{"same data set", "--data=" + dir + "/. " + out, "--data " + dir + "/.: want each data set once, it is number 1 as well"},
		{"network rate", "--net-rate=0 " + out, "--net-rate 0: want a number above 0, at most 1"},
		{"dropout", "--dropout=1 " + out, "--dropout 1: want a number from 0, below 1"},
		{"ranker", "--ranker=missing.json " + out, "--ranker missing.json: no such file"},
		{"samples", "--samples=0 " + out, "--samples 0: want 1 to"},
		{"images", "--images=a --images=b " + out, "2 --images for 1 data set: want at most one for each"},
		{"weights", "--data-weight=1,2 " + out, "--data-weight: 2 weights for 1 data set: want one for each"},
		{"negative weight", "--data-weight=-1 " + out, "--data-weight -1: want a number from 0.001 to 1000"},
		{"partial", "--partial=2 " + out, "--partial 2: want the number of a data set, 1 to 1"},
		{"empty model", "--trees=0 --epochs=0 " + out, "--epochs 0: want at least 1 if there are no trees"},
		{"one fold", "--folds=1 " + out, "--folds 1: want 2 to"},
		{"unknown model", "--model=forest " + out, "--model"},
		{"rate", "--rate=2 " + out, "--rate 2: want a number above 0, at most 1"},
		{"negative gamma", "--loss=focal --gamma=-1 " + out, `--gamma "-1": want a number from 0 to 100`},
		{"alpha", "--loss=alpha --alpha=1.5 " + out, `--alpha "1.5": want a number from 0 to 1`},
		{"alpha NaN", "--loss=focal --alpha=NaN " + out, `--alpha "NaN": want a number from 0 to 1`},
		{"unknown loss", "--loss=hinge " + out, "--loss"},
		{"unknown feature group", "--without=votes,sides " + out, `--without "sides": want some of trees, place, votes, inside, around, grid`},
		{"part of a feature group", "--without=vote " + out, `--without "vote": want`},
		{"empty feature group", "--without=votes, " + out, `--without "": want`},
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
	dir := t.TempDir()
	for _, c := range []struct{ name, file, want string }{
		{"missing.json", "", "no such file"},
		{"text.json", "text", "invalid model: invalid character 'e' in literal true (expecting 'r'): want a file that proposer train wrote"},
		{"part.json", `{"format": 4, "features": ["a"]`, "invalid model: unexpected end of JSON input: want a file that proposer train wrote"},
		{"list.json", "[]", "want a file that proposer train wrote"},
		{"layer.json", `{"format": 3, "model": {"network": {"direct": [1, 2]}}}`, "format 3 of another version, this one has 4: train it again with this version"},
		{"other.json", "{}", "want a file that proposer train wrote"},
		{"format.json", `{"format": 3, "features": ["a"], "model": {}}`, "format 3 of another version, this one has 4: train it again with this version"},
		{"features.json", `{"format": 4, "features": ["a"], "model": {}}`, "1 features of another version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(dir, c.name)
			if c.file != "" {
				write(t, file, []byte(c.file))
			}
			_, msg, code := call(t, nil, "propose", "--ranker", file, writeScene(t, 11))
			if code != exitUsage || !strings.Contains(msg, "--ranker "+file+": ") || !strings.Contains(msg, c.want) {
				t.Errorf("got exit code %d, message %q, want %d, the file and %q", code, msg, exitUsage, c.want)
			}
		})
	}
}
