# One image for every service; docker-compose.yml says which one a container runs.
FROM node:24-bookworm-slim
WORKDIR /opt/cnmbus
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev && npm cache clean --force && ln -s /opt/cnmbus/services/cli/cnm /usr/local/bin/cnm
COPY . .
# volumes that are mounted there begin as these are: `cnm nats-config` writes into them as this user
RUN mkdir -m 0700 /keys /etc/cnm-nats && chown node: /keys /etc/cnm-nats
ENTRYPOINT ["cnm"]
