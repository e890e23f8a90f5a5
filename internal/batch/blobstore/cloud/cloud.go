// Package cloud adds the buckets of Amazon S3 and compatible services, Google Cloud Storage and Azure
// Blob Storage to package blobstore. It is imported for its side effect:
//
//	import _ "github.com/proposer/proposer/internal/batch/blobstore/cloud"
//
// It is a package of its own because the services' libraries are larger than the rest of the program.
package cloud

import (
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://
)
