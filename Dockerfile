# Debian's nginx with the module, run by a user who is not root:
#
#     docker build -t tblb .
#     docker run --rm -p 8080:8080 -v ./nginx.conf:/etc/nginx/nginx.conf:ro tblb
#
# nginx/docker.conf is the configuration it has without the -v. nginx writes to standard output, standard error
# and /tmp only, so --read-only --tmpfs /tmp works too.

# A module fits one nginx version only: both stages take nginx from the same Debian, and the first its Rust too.
FROM debian:bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends make
WORKDIR /tblb
COPY Makefile Cargo.toml ./
COPY scripts scripts
RUN make setup
COPY . .
RUN make install DESTDIR=/image

FROM debian:bookworm
RUN apt-get update && apt-get install -y --no-install-recommends nginx ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /image/usr/lib/nginx/modules /usr/lib/nginx/modules
COPY nginx/docker.conf /etc/nginx/nginx.conf
# www-data of Debian, as a number so that Kubernetes can see that it is not root.
USER 33:33
EXPOSE 8080
# nginx lets streams that run come to their end.
STOPSIGNAL SIGQUIT
CMD ["nginx"]
