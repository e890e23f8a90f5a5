package blobstore

import (
	"net/http/httptest"
	"testing"

	_ "github.com/proposer/proposer/internal/batch/blobstore/cloud"
	"github.com/proposer/proposer/internal/testutil/s3"
)

// fakeS3 starts a server of an empty bucket and returns its location.
func fakeS3(t *testing.T) string {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none",
	} {
		t.Setenv(name, value)
	}
	server := httptest.NewServer(s3.New(nil))
	stopS3 = server.Close
	t.Cleanup(server.Close)
	return "s3://bucket/pre/fix?region=us-east-1&use_path_style=true&endpoint=" + server.URL
}

// stopS3 ends the last fakeS3.
var stopS3 func()
