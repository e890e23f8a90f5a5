"""Calls the service as tritonclient does: with gRPC's C core and the message classes of the protocol.

    grpc_client.py ADDRESS DESCRIPTOR IMAGE CERTIFICATE

DESCRIPTOR is a FileDescriptorProto. CERTIFICATE is that of the service, or empty. Prints JSON.
"""

import json
import struct
import sys

import grpc
import numpy
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

address, descriptor, image, certificate = sys.argv[1:]
pool = descriptor_pool.DescriptorPool()
with open(descriptor, "rb") as f:
    pool.Add(descriptor_pb2.FileDescriptorProto.FromString(f.read()))
service = pool.FindServiceByName("inference.GRPCInferenceService")
get_class = getattr(message_factory, "GetMessageClass", None) or message_factory.MessageFactory(pool).GetPrototype
if certificate:
    with open(certificate, "rb") as f:
        credentials = grpc.ssl_channel_credentials(f.read())
    channel = grpc.secure_channel(address, credentials)
else:
    channel = grpc.insecure_channel(address)


def call(method, parameters={}, **fields):
    m = service.methods_by_name[method]
    request = get_class(m.input_type)(**fields)
    for name, value in parameters.items():
        setattr(request.parameters[name], "string_param" if isinstance(value, str) else "int64_param", value)
    stub = channel.unary_unary(
        f"/{service.full_name}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=get_class(m.output_type).FromString,
    )
    return stub(request, timeout=60, metadata=[("authorization", "Bearer alice-0123456789abcdef")])


def infer(image, **parameters):
    return call(
        "ModelInfer",
        parameters,
        model_name="selective_search",
        inputs=[{"name": "image", "datatype": "BYTES", "shape": [1]}],
        raw_input_contents=[struct.pack("<I", len(image)) + image],
    )


def error(f):
    try:
        f()
    except grpc.RpcError as e:
        names = [key for key, _ in e.trailing_metadata()]
        return [e.code().name, e.details(), "grpc-status-details-bin" in names]
    return None


with open(image, "rb") as f:
    data = f.read()
result = infer(data, mode="single", max=20)
boxes, scores = (numpy.frombuffer(raw, "<f4") for raw in result.raw_output_contents)
json.dump(
    {
        "live": call("ServerLive").live,
        "ready": call("ModelReady", name="selective_search").ready,
        "platform": call("ModelMetadata", name="selective_search").platform,
        "shapes": [list(o.shape) for o in result.outputs],
        "boxes": boxes.tolist(),
        "scores": scores.tolist(),
        "errors": [
            error(lambda: infer(data, mode="schnell", max=-1)),
            error(lambda: infer(b"not an image, but long enough")),
            error(lambda: call("ModelReady", name="resnet")),
            error(lambda: infer(bytes(100_000))),
        ],
    },
    sys.stdout,
)
