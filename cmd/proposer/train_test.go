package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTrain(t *testing.T) {
	dir, _ := dataset(t, 4)
	out, curve := filepath.Join(t.TempDir(), "ranker.json"), filepath.Join(t.TempDir(), "curve.csv")
	for _, loss := range []string{"--loss=ce", "--loss=alpha", "--loss=focal"} {
		table, msg, code := call(t, nil, "train", "--data", dir, "--out", out, "--trees=5", "--holdout", "--curve", curve, loss, "--without=votes")
		if code != exitOK || !strings.Contains(table, "held out") || !strings.Contains(msg, "pictures") {
			t.Fatalf("%s: exit code %d, %q, %q", loss, code, table, msg)
		}
		data, err := os.ReadFile(curve)
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(data), "\n"); lines != 6 {
			t.Errorf("a curve of %d lines; want a header and 5", lines)
		}
	}
	file := picture(t, 11)
	own, msg, code := call(t, nil, "propose", "--ranker", out, file)
	if code != exitOK {
		t.Fatal(msg)
	}
	if theirs, _, _ := call(t, nil, "propose", file); timeless(own) == timeless(theirs) {
		t.Error("another ranker gives the same order")
	}
}

func TestTrainUsage(t *testing.T) {
	dir, _ := dataset(t, 1)
	out := filepath.Join(t.TempDir(), "ranker.json")
	for args, want := range map[string]string{
		"--trees=0":               "0 trees: want 1 to",
		"--rate=2":                "want numbers in (0,1]",
		"--loss=focal --gamma=-1": "",
		"--loss=hinge":            "--loss",
	} {
		_, msg, code := call(t, nil, append([]string{"train", "--data", dir, "--out", out}, strings.Fields(args)...)...)
		if code != exitUsage || !strings.Contains(msg, want) {
			t.Errorf("%s: exit code %d, %q; want %d, %q", args, code, msg, exitUsage, want)
		}
	}
	bad := filepath.Join(t.TempDir(), "bad.json")
	write(t, bad, []byte("{}"))
	for _, file := range []string{bad, bad + ".not"} {
		if _, msg, code := call(t, nil, "propose", "--ranker", file, picture(t, 11)); code != exitUsage || !strings.Contains(msg, "--ranker") {
			t.Errorf("%s: exit code %d, %q", file, code, msg)
		}
	}
}
