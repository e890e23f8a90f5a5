package docker

import (
	"bytes"
	"encoding/pem"
	"encoding/xml"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// bucketEnv has credentials for the bucket of startBucket.
var bucketEnv = []string{"AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true"}

// startBucket serves objects over TLS as a bucket of S3 that can be read. It returns the location, for batch, and
// the authority that certifies the server, as PEM.
func startBucket(t *testing.T, objects map[string][]byte) (location string, authority []byte) {
	type object struct {
		Key          string
		LastModified string
		Size         int
	}
	modified := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/bucket"), "/")
		switch data, ok := objects[key]; {
		case !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=id/"):
			w.WriteHeader(http.StatusForbidden)
		case ok:
			w.Header().Set("ETag", `"x"`)
			http.ServeContent(w, r, "", modified, bytes.NewReader(data))
		case key == "" && r.URL.Query().Get("list-type") == "2":
			list := struct {
				XMLName  xml.Name `xml:"ListBucketResult"`
				Contents []object
			}{}
			for _, name := range slices.Sorted(maps.Keys(objects)) {
				if strings.HasPrefix(name, r.URL.Query().Get("prefix")) {
					list.Contents = append(list.Contents, object{name, modified.Format(time.RFC3339), len(objects[name])})
				}
			}
			_ = xml.NewEncoder(w).Encode(list)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it
	server.StartTLS()
	t.Cleanup(server.Close)
	authority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return "s3://bucket?region=us-east-1&use_path_style=true&endpoint=" + server.URL, authority
}
