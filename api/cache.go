package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// cacheKey names an answer: equal keys, equal answers, but for the times in them.
type cacheKey [sha256.Size]byte

// newCacheKey is the key of what is said of a picture in the words of the parts.
func newCacheKey(data []byte, parts ...string) cacheKey {
	h := sha256.New()
	picture := sha256.Sum256(data)
	h.Write(picture[:])
	for _, p := range parts { // their lengths keep them apart
		h.Write(binary.AppendUvarint(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return cacheKey(h.Sum(nil))
}

// canonicalOptions is a text that equal values have, and only they.
func canonicalOptions(values map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "%q=%q\n", name, values[name])
	}
	return b.String()
}

// etag is weak: the times in two answers may differ.
func (k cacheKey) etag() string { return `W/"` + base64.RawURLEncoding.EncodeToString(k[:16]) + `"` }

// setHeaders says how an answer is called, so that the client, and nobody between, may keep it and
// ask whether it still holds.
func (k cacheKey) setHeaders(h http.Header) {
	h.Set("ETag", k.etag())
	h.Set("Cache-Control", "private, no-cache")
}

// notModified tells whether the client has the answer, as If-None-Match says. RFC 9110 has it
// answer 304 for GET alone; a search changes nothing, so here it does for POST. Its * means
// nothing here: whether there is an answer at all only the search can tell.
func (k cacheKey) notModified(r *http.Request) bool {
	for _, line := range r.Header.Values("If-None-Match") {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimSpace(tag)
			if "W/"+strings.TrimPrefix(tag, "W/") == k.etag() {
				return true
			}
		}
	}
	return false
}

// cacheEntryOverhead is about what an answer takes beside its bytes.
const cacheEntryOverhead = 256

// responseCache keeps answers for the next who asks the same; nil keeps none.
type responseCache struct {
	cache     *otter.Cache[cacheKey, []byte]
	hit, miss prometheus.Counter
}

func newResponseCache(c Config, m *metrics) (*responseCache, error) {
	if c.CacheBytes == 0 {
		return nil, nil
	}
	a := &responseCache{
		cache: otter.Must(&otter.Options[cacheKey, []byte]{
			MaximumWeight: uint64(c.CacheBytes),
			Weigher: func(_ cacheKey, answer []byte) uint32 {
				return uint32(min(int64(len(answer))+cacheEntryOverhead, 1<<32-1))
			},
		}),
		hit: m.cacheRequests.WithLabelValues("hit"), miss: m.cacheRequests.WithLabelValues("miss"),
	}
	return a, c.Registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "proposer_cache_bytes",
		Help: "Memory for answers that are kept.",
	}, func() float64 { return float64(a.cache.WeightedSize()) }))
}

func (a *responseCache) get(k cacheKey) ([]byte, bool) {
	if a == nil {
		return nil, false
	}
	answer, ok := a.cache.GetIfPresent(k)
	if ok {
		a.hit.Inc()
	} else {
		a.miss.Inc()
	}
	return answer, ok
}

// set keeps an answer, which nobody may change from now on.
func (a *responseCache) set(k cacheKey, answer []byte) {
	if a != nil {
		a.cache.Set(k, answer)
	}
}
