// Gen runs protoc-gen-go and protoc-gen-go-grpc on the .proto files of a folder, without protoc:
//
//	gen FOLDER OUT
package main

//go:generate go run . ../../../../api/openinference ..

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

const goPackage = "github.com/proposer/proposer/internal/testutil/inferencepb"

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: gen FOLDER OUT")
	}
	if err := generate(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func generate(folder, out string) error {
	paths, err := filepath.Glob(filepath.Join(folder, "*.proto"))
	if err != nil || len(paths) == 0 {
		return fmt.Errorf("no .proto files in %s: %w", folder, err)
	}
	compiler := protocompile.Compiler{
		Resolver:       &protocompile.SourceResolver{ImportPaths: []string{folder}},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	request := &pluginpb.CodeGeneratorRequest{}
	options := "paths=source_relative"
	for _, path := range paths {
		name := filepath.Base(path)
		files, err := compiler.Compile(context.Background(), name)
		if err != nil {
			return err
		}
		file := protoutil.ProtoFromFileDescriptor(files[0])
		request.FileToGenerate = append(request.FileToGenerate, name)
		request.ProtoFile = append(request.ProtoFile, file)
		options += ",M" + name + "=" + goPackage
	}
	request.Parameter = &options
	for _, plugin := range []string{"protoc-gen-go", "protoc-gen-go-grpc"} {
		if err := run(plugin, request, out); err != nil {
			return fmt.Errorf("%s: %w", plugin, err)
		}
	}
	return nil
}

// run runs a plugin and writes its files.
func run(plugin string, request *pluginpb.CodeGeneratorRequest, out string) error {
	input, err := proto.MarshalOptions{Deterministic: true}.Marshal(request)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "tool", plugin)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	output, err := cmd.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(output, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return fmt.Errorf("%s", response.GetError())
	}
	for _, file := range response.File {
		if err := os.WriteFile(filepath.Join(out, file.GetName()), []byte(file.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
