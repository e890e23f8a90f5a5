package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

type comparison struct {
	row
	summary
}

// report is all that a run found, as Markdown.
type report struct {
	command            string
	date               time.Time
	ours, kernels      string
	goVersion, machine string
	versions           map[string]string // of the peers
	pictures           string
	comparisons        []comparison
	alone              []figure
}

func (r report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\nWritten by `%s`.\n\n", r.command)
	fmt.Fprintf(&b, "- %s\n- %s\n- proposer %s (%s, kernels: %s)", r.date.Format(time.DateOnly), r.machine, r.ours, r.goVersion, r.kernels)
	for _, name := range slices.Sorted(maps.Keys(r.versions)) {
		fmt.Fprintf(&b, ", %s %s", name, r.versions[name])
	}
	fmt.Fprintf(&b, "\n- pictures: %s\n", r.pictures)
	var peers, itself []comparison
	for _, c := range r.comparisons {
		if c.peer.who == ourselves {
			itself = append(itself, c)
		} else {
			peers = append(peers, c)
		}
	}
	if peers != nil {
		b.WriteString("\n## Beside the peers\n\n" +
			"All work on the same pictures in one run and take turns on each, who begins changes; decoding is not counted.\n" +
			"Times are medians over the pictures; times as fast is the median, and the quartiles, of the pictures' own ratios.\n" +
			"segment is smoothing and segmentation alone, k 300, σ 0.8, regions of at least 20 pixels, on a grid of 8 or 4 neighbours.\n\n")
		writeComparisons(&b, peers)
	}
	if itself != nil {
		b.WriteString("\n## On two threads\n\nThe same, beside itself on one.\n\n")
		writeComparisons(&b, itself)
	}
	if r.alone != nil {
		fmt.Fprintf(&b, "\n## Alone\n\nMode `%s`.\n\n| what | measured | that is | goal | reached |\n|---|---:|---|---:|---|\n", aloneMode)
		for _, f := range r.alone {
			fmt.Fprintf(&b, "| %s | %s | %s | ≤ %s | %s |\n", f.what, amount(f.value, f.unit), f.note, amount(f.goal, f.unit), yes(f.value <= f.goal))
		}
	}
	return b.String()
}

func writeComparisons(b *strings.Builder, all []comparison) {
	b.WriteString("| work | threads | peer | its threads | ours, ms | peer, ms | times as fast | quartiles | pictures × rounds | goal | reached |\n" +
		"|---|---:|---|---:|---:|---:|---:|---|---:|---:|---|\n")
	for _, c := range all {
		goal, reached := "–", "–"
		if c.goal > 0 {
			goal, reached = fmt.Sprintf("%g×", c.goal), yes(c.ratio >= c.goal)
		}
		peer := c.peer.who + " " + c.peer.work
		if c.peer.who == ourselves {
			peer = "itself"
		}
		fmt.Fprintf(b, "| %s | %d | %s | %d | %s | %s | %s | %s–%s | %d × %d | %s | %s |\n",
			c.ours.work, c.ours.threads, peer, c.peer.threads, number(c.oursTime*1e3), number(c.peerTime*1e3),
			amount(c.ratio, "×"), number(c.low), number(c.high), c.pictures, c.rounds, goal, reached)
	}
}

// amount is a number with its unit; × stands close.
func amount(v float64, unit string) string {
	if unit == "×" {
		return number(v) + unit
	}
	return number(v) + " " + unit
}

// number prints three digits, or more before the point.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}
