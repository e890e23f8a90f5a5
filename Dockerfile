# syntax=docker/dockerfile:1
ARG BUILD_IMAGE=golang:1.26-bookworm

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
# What changes seldom first: the packages, then the modules.
COPY Makefile ./
RUN make deps
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN make build VERSION="${VERSION}" && \
    CGO_ENABLED=0 go build -C tools -o ../bin/rootfs ./rootfs && bin/rootfs -root /runtime -version "${VERSION}"

# The program and the libraries that it loads (OpenCV's three and theirs), certificates, licenses and SBOM.
FROM scratch
COPY --from=build /runtime/ /
ENV PATH=/usr/local/bin
ARG VERSION=unknown
LABEL org.opencontainers.image.title="proposer" \
      org.opencontainers.image.description="Selective-search region proposals from the shell and over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s CMD ["proposer", "health"]
ENTRYPOINT ["proposer"]
CMD ["serve"]
