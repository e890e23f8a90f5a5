package main

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/proposer/proposer/internal/config"
)

// A negative number is refused as a value of its flag, in every flag of every command that takes a
// number.
func TestNegativeNumbers(t *testing.T) {
	numeric := map[string]bool{ // of the flags that package propose or rois parses
		"max": true, "unions": true, "joins": true, "seed": true, "nms": true, "min-side": true, "max-aspect": true, "min-area": true, "max-area": true,
		"max-side": true, "resize-width": true, "min-resized-side": true, "k": true, "sigma": true, "min-size": true,
		"connectivity": true, "depth": true, "threads": true, "size": true, "foreground": true, "rois-seed": true,
	}
	values := config.New()
	parser := newParser(t.Context(), streams{}, values)
	checked := 0
	for _, command := range parser.Model.Children {
		for _, flag := range command.Flags {
			if !numeric[flag.Name] && !isNumber(flag.Target.Type()) {
				continue
			}
			checked++
			t.Run(command.Name+" --"+flag.Name, func(t *testing.T) {
				args := []string{command.Name, "--" + flag.Name, "-1"}
				for _, other := range command.Flags {
					if other.Required && other.Name != flag.Name {
						args = append(args, "--"+other.Name+"=x")
					}
				}
				for _, arg := range command.Positional {
					if arg.Required {
						args = append(args, "x")
					}
				}
				if command.Name == "train" {
					args = append(args, "--out=x")
				}
				out, msg, code := call(t, nil, args...)
				text := strings.NewReplacer(`"`, "").Replace(msg)
				if code != exitUsage || out != "" || !strings.HasPrefix(text, "proposer: --"+flag.Name+" -1") || !strings.Contains(text, ": want ") {
					t.Errorf("%q: exit code %d, error %q", args, code, msg)
				}
			})
		}
	}
	if checked < 80 {
		t.Errorf("checked %d flags, want those of all commands", checked)
	}
}

func isNumber(of reflect.Type) bool {
	switch of.Kind() {
	case reflect.Int, reflect.Int64, reflect.Float64:
		return true
	case reflect.Slice:
		return isNumber(of.Elem())
	}
	return of == reflect.TypeFor[time.Duration]()
}
