package docker

import (
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"testing"

	"github.com/proposer/proposer/internal/testutil/s3"
)

// bucketEnv has credentials for the bucket of startBucket.
var bucketEnv = []string{"AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true"}

// startBucket serves a bucket over TLS. It returns its location, for batch, and the
// authority that certifies the server, as PEM.
func startBucket(t *testing.T, bucket *s3.Bucket) (location string, authority []byte) {
	server := httptest.NewUnstartedServer(bucket)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it
	server.StartTLS()
	t.Cleanup(server.Close)
	authority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return "s3://bucket?region=us-east-1&use_path_style=true&endpoint=" + server.URL, authority
}
