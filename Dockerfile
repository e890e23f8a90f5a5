# syntax=docker/dockerfile:1
ARG BUILD_IMAGE=golang:1.26-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
# What changes seldom first: the packages, then the modules.
COPY Makefile ./
RUN make deps
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN make build VERSION="${VERSION}"

FROM ${RUNTIME_IMAGE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends libopencv-imgcodecs406 libopencv-imgproc406 libopencv-core406 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/bin/proposer /usr/local/bin/proposer
ARG VERSION=unknown
LABEL org.opencontainers.image.title="proposer" \
      org.opencontainers.image.description="Selective-search region proposals from the shell and over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=3s --start-period=5s CMD ["proposer", "health"]
ENTRYPOINT ["proposer"]
CMD ["serve"]
