package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A result is a comparison and what was measured.
type result struct {
	comparison
	summary
}

// A report has the results of a run.
type report struct {
	command            string
	date               time.Time
	ours, kernels      string
	goVersion, machine string
	versions           map[string]string // of the peers
	images             string
	results            []result
	standalone         []measurement
}

// String returns the report as Markdown.
func (r report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\nWritten by `%s`.\n\n", r.command)
	fmt.Fprintf(&b, "- %s\n- %s\n", r.date.Format(time.DateOnly), r.machine)
	fmt.Fprintf(&b, "- proposer %s (%s, kernels: %s)", r.ours, r.goVersion, r.kernels)
	for _, name := range slices.Sorted(maps.Keys(r.versions)) {
		fmt.Fprintf(&b, ", %s %s", name, r.versions[name])
	}
	fmt.Fprintf(&b, "\n- images: %s\n", r.images)
	var peers, itself []result
	for _, c := range r.results {
		if c.peer.engine == proposerEngine {
			itself = append(itself, c)
		} else {
			peers = append(peers, c)
		}
	}
	if peers != nil {
		b.WriteString("\n## Compared with others\n\n" +
			"All engines work on the same images in one run and take turns on each; the first to run changes.\n" +
			"Decoding is not measured. Times are medians over the images; the speed ratio is the median, with\n" +
			"quartiles, of the ratios of the single images. `segment` is smoothing and segmentation alone: k = 300,\n" +
			"σ = 0.8, regions of at least 20 pixels, 8 or 4 neighbors.\n\n")
		writeResults(&b, peers)
	}
	if itself != nil {
		b.WriteString("\n## Two threads\n\nThe same, compared with one thread.\n\n")
		writeResults(&b, itself)
	}
	if r.standalone != nil {
		fmt.Fprintf(&b, "\n## Memory and scaling\n\nMode `%s`.\n\n"+
			"| quantity | measured | details | goal | reached |\n|---|---:|---|---:|---|\n", standaloneMode)
		for _, m := range r.standalone {
			fmt.Fprintf(&b, "| %s | %s | %s | ≤ %s | %s |\n",
				m.quantity, amount(m.value, m.unit), m.note, amount(m.goal, m.unit), yes(m.value <= m.goal))
		}
	}
	return b.String()
}

func writeResults(b *strings.Builder, results []result) {
	b.WriteString("| work | threads | peer | peer threads | ours, ms | peer, ms | " +
		"speed ratio | quartiles | images × rounds | goal | reached |\n" +
		"|---|---:|---|---:|---:|---:|---:|---|---:|---:|---|\n")
	for _, c := range results {
		goal, reached := "–", "–"
		if c.goal > 0 {
			goal, reached = fmt.Sprintf("%g×", c.goal), yes(c.ratio >= c.goal)
		}
		peer := c.peer.engine + " " + c.peer.work
		if c.peer.engine == proposerEngine {
			peer = "itself"
		}
		fmt.Fprintf(b, "| %s | %d | %s | %d | %s | %s | %s | %s–%s | %d × %d | %s | %s |\n",
			c.ours.work, c.ours.threads, peer, c.peer.threads, number(c.oursTime*1e3), number(c.peerTime*1e3),
			amount(c.ratio, "×"), number(c.low), number(c.high), c.images, c.rounds, goal, reached)
	}
}

// amount formats a number with its unit; × follows without a space.
func amount(v float64, unit string) string {
	if unit == "×" {
		return number(v) + unit
	}
	return number(v) + " " + unit
}

// number formats a number with three significant digits, or all digits before the decimal point.
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
