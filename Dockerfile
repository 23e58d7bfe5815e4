# peer in a container. compose.yaml runs it; docs/deploy.md takes you there.
#
#     docker build -t peer .
#
# The tests take all that follows the last FROM, and put it on another base where
# no registry can be reached.
ARG BASE_IMAGE=alpine:3.22

FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/peer .

FROM ${BASE_IMAGE}
RUN command -v git >/dev/null || apk add --no-cache git
RUN grep -q ^peer: /etc/passwd || adduser -D -u 10001 -h /var/lib/peer peer
COPY --from=build /out/peer /usr/local/bin/peer
# Git finds peer:// by the links that setup makes. The home is all that has to
# last: key, database, repositories.
RUN peer setup && mkdir -p /var/lib/peer && chown peer:peer /var/lib/peer && chmod 0700 /var/lib/peer
ENV PEER_HOME=/var/lib/peer
VOLUME /var/lib/peer
USER peer
WORKDIR /var/lib/peer
EXPOSE 4001/tcp
# The node stops in order, within 15 seconds.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["peer", "status"]
ENTRYPOINT ["peer"]
CMD ["node"]
