package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// A runner works on the picture it loaded last.
type runner interface {
	load(ctx context.Context, file string) (width, height int, err error)
	// run returns the seconds that the work took.
	run(ctx context.Context, work string, threads int) (float64, error)
}

// seconds are those of every round, by run and picture.
type seconds map[run][][]float64

// meter has families of runs take turns.
type meter struct {
	runners  map[string]runner
	files    []string
	rounds   int // at most
	end      time.Time
	progress io.Writer
}

// measure runs the families until the end, roughly; the cheapest goes first and leaves
// to the others what it does not need of its share of the time. The result is by our work.
func (m *meter) measure(ctx context.Context, families [][]run) (map[string]seconds, error) {
	type priced struct {
		runs []run
		cost time.Duration
	}
	var all []priced
	for _, runs := range families {
		// Besides telling the cost this warms everybody up.
		start := time.Now()
		if _, err := m.family(ctx, runs, m.files[:1], 1); err != nil {
			return nil, err
		}
		all = append(all, priced{runs, time.Since(start)})
	}
	slices.SortStableFunc(all, func(a, b priced) int { return cmp.Compare(a.cost, b.cost) })
	result := map[string]seconds{}
	for i, f := range all {
		share := time.Until(m.end) / time.Duration(len(all)-i)
		n, rounds := plan(f.cost, share, len(m.files), m.rounds)
		work := f.runs[0].work
		fmt.Fprintf(m.progress, "%s: %d pictures, %d rounds, about %v\n", work, n, rounds, (f.cost * time.Duration(n*rounds)).Round(time.Second))
		s, err := m.family(ctx, f.runs, spaced(m.files, n), rounds)
		if err != nil {
			return nil, err
		}
		result[work] = s
	}
	return result, nil
}

// plan is how many pictures and rounds fit the time if a picture takes cost: first the
// rounds get fewer, then the pictures.
func plan(cost, budget time.Duration, files, rounds int) (int, int) {
	fit := int(max(0, budget) / max(1, cost))
	if fit < files {
		return max(1, fit), 1
	}
	return files, min(rounds, fit/files)
}

// family measures runs that take turns on each picture; who begins changes from
// picture to picture and round to round.
func (m *meter) family(ctx context.Context, runs []run, files []string, rounds int) (seconds, error) {
	s := seconds{}
	for _, r := range runs {
		s[r] = make([][]float64, len(files))
	}
	for round := range rounds {
		for i, file := range files {
			if err := m.load(ctx, runs, file); err != nil {
				return nil, err
			}
			for turn := range runs {
				r := runs[(turn+i+round)%len(runs)]
				t, err := m.runners[r.who].run(ctx, r.work, r.threads)
				if err != nil {
					return nil, fmt.Errorf("%s of %s: %w", r.work, r.who, err)
				}
				s[r][i] = append(s[r][i], t)
			}
		}
	}
	return s, nil
}

// load has everybody load a picture, and sees to it that it is the same one.
func (m *meter) load(ctx context.Context, runs []run, file string) error {
	w, h, err := m.runners[ourselves].load(ctx, file)
	if err != nil {
		return err
	}
	loaded := map[runner]bool{m.runners[ourselves]: true}
	for _, r := range runs {
		peer := m.runners[r.who]
		if loaded[peer] {
			continue
		}
		loaded[peer] = true
		pw, ph, err := peer.load(ctx, file)
		if err != nil {
			return fmt.Errorf("%s: %w", r.who, err)
		}
		if pw != w || ph != h {
			return fmt.Errorf("%s: %d×%d pixels for %s, %d×%d for us: want the same picture", file, pw, ph, r.who, w, h)
		}
	}
	return nil
}
