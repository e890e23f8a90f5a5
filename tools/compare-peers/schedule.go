package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// An engine works on the image that it loaded last.
type engine interface {
	load(ctx context.Context, file string) (width, height int, err error)
	// run returns the seconds that the work took.
	run(ctx context.Context, work string, threads int) (float64, error)
}

// seconds holds the times of each round, by task and image.
type seconds map[task][][]float64

// A scheduler measures groups of tasks in turns.
type scheduler struct {
	engines  map[string]engine
	files    []string
	rounds   int // maximum
	end      time.Time
	progress io.Writer
}

// measure measures the groups until about the end. The cheapest group goes first and leaves the time that it
// does not need to the others. The result is by our work.
func (m *scheduler) measure(ctx context.Context, groups [][]task) (map[string]seconds, error) {
	type priced struct {
		tasks []task
		cost  time.Duration
	}
	var all []priced
	for _, tasks := range groups {
		// This measures the cost and warms up the engines.
		start := time.Now()
		if _, err := m.group(ctx, tasks, m.files[:1], 1); err != nil {
			return nil, err
		}
		all = append(all, priced{tasks, time.Since(start)})
	}
	slices.SortStableFunc(all, func(a, b priced) int { return cmp.Compare(a.cost, b.cost) })
	result := map[string]seconds{}
	for i, f := range all {
		share := time.Until(m.end) / time.Duration(len(all)-i)
		n, rounds := plan(f.cost, share, len(m.files), m.rounds)
		work := f.tasks[0].work
		estimate := (f.cost * time.Duration(n*rounds)).Round(time.Second)
		fmt.Fprintf(m.progress, "%s: %d images, %d rounds, about %v\n", work, n, rounds, estimate)
		s, err := m.group(ctx, f.tasks, evenlySpaced(m.files, n), rounds)
		if err != nil {
			return nil, err
		}
		result[work] = s
	}
	return result, nil
}

// plan returns how many images and rounds fit the budget if an image takes cost: first rounds are dropped,
// then images.
func plan(cost, budget time.Duration, files, rounds int) (int, int) {
	fit := int(max(0, budget) / max(1, cost))
	if fit < files {
		return max(1, fit), 1
	}
	return files, min(rounds, fit/files)
}

// group measures tasks in turns on each image. The first to run changes from image to image and round to round.
func (m *scheduler) group(ctx context.Context, tasks []task, files []string, rounds int) (seconds, error) {
	s := seconds{}
	for _, t := range tasks {
		s[t] = make([][]float64, len(files))
	}
	for round := range rounds {
		for i, file := range files {
			if err := m.load(ctx, tasks, file); err != nil {
				return nil, err
			}
			for turn := range tasks {
				t := tasks[(turn+i+round)%len(tasks)]
				took, err := m.engines[t.engine].run(ctx, t.work, t.threads)
				if err != nil {
					return nil, fmt.Errorf("%s of %s: %w", t.work, t.engine, err)
				}
				s[t][i] = append(s[t][i], took)
			}
		}
	}
	return s, nil
}

// load loads an image into all engines and checks that they see the same size.
func (m *scheduler) load(ctx context.Context, tasks []task, file string) error {
	w, h, err := m.engines[proposerEngine].load(ctx, file)
	if err != nil {
		return err
	}
	loaded := map[engine]bool{m.engines[proposerEngine]: true}
	for _, t := range tasks {
		peer := m.engines[t.engine]
		if loaded[peer] {
			continue
		}
		loaded[peer] = true
		pw, ph, err := peer.load(ctx, file)
		if err != nil {
			return fmt.Errorf("%s: %w", t.engine, err)
		}
		if pw != w || ph != h {
			return fmt.Errorf("%s: %d×%d pixels in %s, %d×%d in proposer: want the same image", file, pw, ph, t.engine, w, h)
		}
	}
	return nil
}
