package api

import (
	"cmp"
	"encoding/json"
	"net/http"
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
}

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
		Formats: []string{"jpeg", "png", "webp", "bmp", "tiff"},
		Ranker:  cmp.Or(s.cfg.RankerName, "built in"),
	}
	for _, name := range selective.Modes() {
		opts, err := selective.Mode(name)
		if err != nil {
			return nil, err
		}
		c.Modes = append(c.Modes, modeInfo{name, codec.AppendStrategies(nil, opts.Strategies)})
	}
	defaults := propose.DefaultOptions().Values()
	defaults["max"] = strconv.Itoa(DefaultMax)
	for _, name := range searchOptions {
		c.Options = append(c.Options, optionInfo{name, defaults[name]})
	}
	for _, rep := range representations {
		c.Answers = append(c.Answers, rep.media)
	}
	return json.Marshal(c)
}
