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

// cacheKey identifies a response: responses with equal keys are equal except for the times
// they report.
type cacheKey [sha256.Size]byte

// newCacheKey returns the key of the response for an image that is otherwise determined by parts.
func newCacheKey(image []byte, parts ...string) cacheKey {
	h := sha256.New()
	sum := sha256.Sum256(image)
	h.Write(sum[:])
	for _, p := range parts { // with lengths, so that equal concatenations differ
		h.Write(binary.AppendUvarint(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return cacheKey(h.Sum(nil))
}

// canonicalOptions returns a text that is equal for equal values and different for others.
func canonicalOptions(values map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "%q=%q\n", name, values[name])
	}
	return b.String()
}

// etag returns a weak entity tag: the times in two equal responses may differ.
func (k cacheKey) etag() string { return `W/"` + base64.RawURLEncoding.EncodeToString(k[:16]) + `"` }

// setHeaders allows the client, but no proxy, to store the response and to revalidate it.
func (k cacheKey) setHeaders(h http.Header) {
	h.Set("ETag", k.etag())
	h.Set("Cache-Control", "private, no-cache")
}

// notModified reports whether If-None-Match names the response. RFC 9110 allows 304 for GET
// and HEAD only; a search changes no state, so the service also uses it for POST. "*" never
// matches: whether there is a response is known only after the search.
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

// cacheEntryOverhead is the approximate memory of a cached response in addition to its bytes.
const cacheEntryOverhead = 256

// responseCache stores responses. A nil cache stores nothing.
type responseCache struct {
	cache     *otter.Cache[cacheKey, encodedResult]
	hit, miss prometheus.Counter
}

func newResponseCache(c Config, m *metrics) (*responseCache, error) {
	if c.CacheBytes == 0 {
		return nil, nil
	}
	rc := &responseCache{
		cache: otter.Must(&otter.Options[cacheKey, encodedResult]{
			MaximumWeight: uint64(c.CacheBytes),
			Weigher: func(_ cacheKey, r encodedResult) uint32 {
				return uint32(min(int64(len(r.body)+len(r.warning))+cacheEntryOverhead, 1<<32-1))
			},
		}),
		hit:  m.cacheRequests.WithLabelValues("hit"),
		miss: m.cacheRequests.WithLabelValues("miss"),
	}
	return rc, c.Registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "proposer_cache_bytes",
		Help: "Memory used by cached responses.",
	}, func() float64 { return float64(rc.cache.WeightedSize()) }))
}

// get returns the response stored under the key, and whether there is one.
func (rc *responseCache) get(k cacheKey) (encodedResult, bool) {
	if rc == nil {
		return encodedResult{}, false
	}
	r, ok := rc.cache.GetIfPresent(k)
	if ok {
		rc.hit.Inc()
	} else {
		rc.miss.Inc()
	}
	return r, ok
}

// set stores a response, which must not be modified afterwards.
func (rc *responseCache) set(k cacheKey, r encodedResult) {
	if rc != nil {
		rc.cache.Set(k, r)
	}
}
