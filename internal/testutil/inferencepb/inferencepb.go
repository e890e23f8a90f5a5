// Package inferencepb is the client of the Open Inference Protocol over gRPC that protoc's plugins
// generate. Only tests use it: the service reads messages in place, without the memory that generated
// code may need for a small message.
package inferencepb
