package api

import (
	"context"
	"log/slog"
	"strings"

	"github.com/proposer/proposer/internal/imageio"
)

// maxDecoderLines is the maximum number of lines that are logged for one image.
const maxDecoderLines = 10

// observeDecoding returns a context for the job of a request, with which what its decoder prints is
// counted and logged.
func (s *Server) observeDecoding(ctx context.Context, rec *requestRecord) context.Context {
	if s.cfg.CaptureDecoder == nil {
		return ctx
	}
	return imageio.WithObserver(ctx, func() func() {
		end := s.cfg.CaptureDecoder()
		return func() { s.reportDecoder(ctx, rec.id, end) }
	})
}

func (s *Server) reportDecoder(ctx context.Context, id string, end func() ([]byte, int)) {
	text, n := end()
	if n == 0 {
		return
	}
	s.metrics.decoderLines.Add(float64(n))
	if !s.cfg.Logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	lines = lines[:min(len(lines), maxDecoderLines)]
	for _, line := range lines {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "decoder", slog.String("id", id), slog.String("text", line))
	}
	if more := n - len(lines); more > 0 {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "decoder", slog.String("id", id), slog.Int("more_lines", more))
	}
}
