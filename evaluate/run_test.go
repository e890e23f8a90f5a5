package evaluate

import (
	"context"
	"errors"
	"io"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/dataset"
)

func TestRunMatchesEvaluator(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts, inputs := drawOptions(t), drawInputs(t)
		images := make([]dataset.Image, len(inputs))
		for i := range inputs {
			images[i] = inputs[i].img
		}
		want := evaluated(t, opts, inputs).Report()
		workers := rapid.IntRange(0, 8).Draw(t, "workers")
		got, err := Run(context.Background(), images, opts, workers, func(_ context.Context, i int) (Proposals, error) {
			return Proposals{Boxes: inputs[i].boxes, Took: inputs[i].took}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Report, want) || got.Repeatability != nil || len(got.Errors) != len(images) {
			t.Fatalf("got %+v\nwant report %+v, no repeatability and %d errors", got, want, len(images))
		}
	})
}

func TestRunErrors(t *testing.T) {
	images := make([]dataset.Image, 4)
	got, err := Run(t.Context(), images, Options{}, 2, func(_ context.Context, i int) (Proposals, error) {
		switch i {
		case 1:
			return Proposals{}, io.ErrUnexpectedEOF
		case 2:
			return Proposals{Took: time.Second}, io.ErrNoProgress
		}
		return Proposals{Took: 3 * time.Second, Repeatability: []float64{1, float64(i)}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantErrors := []error{nil, io.ErrUnexpectedEOF, io.ErrNoProgress, nil}
	if !slices.Equal(got.Errors, wantErrors) {
		t.Errorf("got errors %v, want %v", got.Errors, wantErrors)
	}
	if want := []float64{1, 1.5}; !reflect.DeepEqual(got.Repeatability, want) {
		t.Errorf("got repeatability %v, want %v", got.Repeatability, want)
	}
	if want := 7. / 3; got.Report.Images != 4 || math.Abs(got.Report.Seconds-want) > 1e-9 {
		t.Errorf("got %d images of %v seconds, want 4 of %v", got.Report.Images, got.Report.Seconds, want)
	}
}

func TestRunCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_, err := Run(ctx, make([]dataset.Image, 10), Options{}, 1, func(context.Context, int) (Proposals, error) {
		if calls++; calls == 3 {
			cancel()
		}
		return Proposals{}, nil
	})
	if !errors.Is(err, context.Canceled) || calls != 3 {
		t.Errorf("got %v after %d searches, want %v after 3", err, calls, context.Canceled)
	}
}

func TestRunInvalidOptions(t *testing.T) {
	if _, err := Run(t.Context(), nil, Options{Budgets: []int{0}}, 1, nil); err == nil {
		t.Error("got no error for a budget of 0")
	}
}
