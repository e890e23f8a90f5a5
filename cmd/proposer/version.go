package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/proposer/proposer/internal/imageio"
)

// linked is set by the linker: -ldflags "-X main.linked=v1.2.3".
var linked string

type buildInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Decoder  string `json:"decoder"`
}

// readBuildInfo returns the version set by the linker, or else the one of the module, and the facts
// about the build.
func readBuildInfo() buildInfo {
	b := buildInfo{
		Version: "unknown", Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Decoder: imageio.Decoder(),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	if linked != "" {
		b.Version = linked
	}
	return b
}

type versionCmd struct {
	JSON bool `name:"json" help:"Print the version as JSON."`
}

// Run implements the command.
func (c *versionCmd) Run(std streams) error {
	b := readBuildInfo()
	if c.JSON {
		return json.NewEncoder(std.out).Encode(b)
	}
	_, err := fmt.Fprintf(std.out, "proposer %s (%s, %s, decoder %s)\n", b.Version, b.Go, b.Platform, b.Decoder)
	return err
}
