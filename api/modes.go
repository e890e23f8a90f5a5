package api

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/selective"
)

// handleModes serves GET /v1/modes: modes, options with their defaults, and limits.
func (s *Server) handleModes(w http.ResponseWriter, _ *http.Request) {
	s.writeResponse(w, "application/json", s.capabilities)
}

type capabilities struct {
	Version     string       `json:"version"`
	DefaultMode string       `json:"default_mode"`
	Modes       []modeInfo   `json:"modes"`
	Options     []optionInfo `json:"options"`
	Orders      []string     `json:"orders"`
	Limits      limitInfo    `json:"limits"`
	Formats     []string     `json:"formats"`
	Answers     []string     `json:"answers"`
	Ranker      string       `json:"ranker"`
}

type modeInfo struct {
	Name       string          `json:"name"`
	Strategies json.RawMessage `json:"strategies"`
	// Options are the other options for which the mode has its own defaults.
	Options map[string]string `json:"options,omitempty"`
}

// strategyOptions are the options that a mode's strategies show.
var strategyOptions = []string{"mode", "colors", "k", "measures", "min-size"}

type optionInfo struct {
	Name    string `json:"name"`
	Default string `json:"default"`
}

type limitInfo struct {
	MaxBytes       int64   `json:"max_bytes"`
	MaxPixels      int64   `json:"max_pixels"`
	MaxSide        int     `json:"max_side"`
	MaxBoxes       int     `json:"max_boxes"`
	MaxPictures    int     `json:"max_pictures"`
	TimeoutSeconds float64 `json:"timeout_seconds"`
}

// marshalCapabilities returns the response of handleModes, which never changes.
func (s *Server) marshalCapabilities() ([]byte, error) {
	c := capabilities{
		Version:     s.cfg.Version,
		DefaultMode: propose.DefaultMode,
		Limits: limitInfo{
			MaxBytes: s.cfg.MaxImageBytes, MaxPixels: s.cfg.MaxImagePixels, MaxSide: s.cfg.MaxImageSide,
			MaxBoxes: s.cfg.MaxBoxes, MaxPictures: s.cfg.MaxImages, TimeoutSeconds: s.cfg.Timeout.Seconds(),
		},
		Orders:  []string{selective.OrderObjectness.String(), selective.OrderPaper.String(), selective.OrderHierarchy.String()},
		Formats: []string{"jpeg", "png", "webp", "gif", "bmp", "tiff"},
		Ranker:  cmp.Or(s.cfg.RankerName, "built in"),
	}
	defaults := propose.DefaultOptions().Values()
	for _, name := range propose.Modes() {
		opts, err := propose.ParseOptions(map[string]string{"mode": name})
		if err != nil {
			return nil, err
		}
		mode := modeInfo{name, codec.AppendStrategies(nil, opts.Search.Strategies), map[string]string{}}
		for option, value := range opts.Values() {
			if !slices.Contains(strategyOptions, option) && value != defaults[option] {
				mode.Options[option] = value
			}
		}
		c.Modes = append(c.Modes, mode)
	}
	defaults["max"] = strconv.Itoa(DefaultMax)
	for _, name := range searchOptions {
		c.Options = append(c.Options, optionInfo{name, defaults[name]})
	}
	c.Answers = mediaTypes()
	return json.Marshal(c)
}
