// Package cloud has package storage open the buckets of Amazon S3 and what speaks like it,
// Google Cloud Storage and Azure Blob Storage. It is imported for that alone:
//
//	import _ "github.com/proposer/proposer/batch/storage/cloud"
//
// It is apart because of the services' own libraries, which are larger than all else: who
// needs no bucket does without.
package cloud

import (
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://
)
