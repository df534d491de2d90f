"""Who is measured: the service in front of the simulator, and its peers. Each runs on the one processor."""

import base64
import contextlib
import http.client
import json
import pathlib
import re
import subprocess
import tempfile

from processes import BINARY, ROOT, SERVICE_CPU, beside_the_service, free_port, on, service_settings, start, stop, wait_for

HOST = "127.0.0.1"
CLIENT = {"GENESYS_CLIENT_ID": "simulated-client", "GENESYS_CLIENT_SECRET": "simulated-secret"}


class Running(contextlib.ExitStack):
    """Processes that end with the block, and a directory for what they write."""

    def __init__(self):
        super().__init__()
        self.directory = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))

    def start(self, name, command, settings, port):
        process = start(self.directory / f"{name}.log", command, settings)
        self.callback(stop, process)
        wait_for(port)
        return process

    def simulator(self, *options):
        """Its port."""
        port = free_port()
        command = [BINARY, "simulate", "--listen", f"{HOST}:{port}", *options]
        self.start(f"simulator-{port}", beside_the_service(command), {}, port)
        return port

    def service(self, upstream, **settings):
        """Its port, and its process."""
        port = free_port()
        command = on({SERVICE_CPU}, [BINARY, "serve", "--listen", f"{HOST}:{port}"])
        process = self.start(f"service-{port}", command, service_settings(upstream, **settings), port)
        return port, process

    def bare(self, directory, cpus=None):
        """A server of the same framework that sends bytes it has; its port."""
        port = free_port()
        command = [newest("bare"), f"{HOST}:{port}", directory]
        self.start(f"bare-{port}", on(cpus or {SERVICE_CPU}, command), {}, port)
        return port

    def nginx(self, server, http_options=""):
        """With what stands in its `server` block; its port. Without an access log, which the service has."""
        port = free_port()
        directory = self.directory / f"nginx-{port}"
        directory.mkdir()
        directory.chmod(0o755)
        self.directory.chmod(0o755)
        configuration = directory / "nginx.conf"
        configuration.write_text(f"""
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=100 inactive=1h;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {http_options.format(directory=directory)}
    server {{
        listen {HOST}:{port};
        default_type application/json;
        {server}
    }}
}}
""")
        self.start(f"nginx-{port}", on({SERVICE_CPU}, ["nginx", "-c", configuration, "-p", directory]), {}, port)
        return port

    def varnish(self, backend):
        """In front of that port; its own."""
        port = free_port()
        directory = self.directory / f"varnish-{port}"
        command = ["varnishd", "-F", "-a", f"{HOST}:{port}", "-b", f"{HOST}:{backend}", "-s", "malloc,64m"]
        command += ["-n", directory, "-p", "default_ttl=3600"]
        self.start(f"varnish-{port}", on({SERVICE_CPU}, command), {}, port)
        return port


def newest(name):
    """The file that `cargo bench --no-run` made of a bench."""
    files = [path for path in (ROOT / "target/release/deps").glob(f"{name}-*") if not path.suffix]
    if not files:
        raise SystemExit(f"there is no bench {name}: cargo bench --no-run")
    return max(files, key=lambda path: path.stat().st_mtime)


def new_key():
    """An API key, and the setting that lets it in."""
    printed = subprocess.run([BINARY, "keys", "new", "bench", "--scope", "read", "--scope", "admin", "--scope", "export"], capture_output=True, text=True, check=True)
    key = re.search(r"key: (\S+)", printed.stdout)[1]
    sha256 = re.search(r'sha256 = "(\w+)"', printed.stdout)[1]
    return key, f'[{{name="bench", sha256="{sha256}", scopes=["read", "admin", "export"]}}]'


def fetch(port, path, headers=None, method="GET", body=None):
    """The answer and its body; anything but a success ends the measurement."""
    connection = http.client.HTTPConnection(HOST, port, timeout=300)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status >= 300:
        raise SystemExit(f"{method} {path} is answered {answer.status}: {content[:300]}")
    return answer, content


def token(simulator):
    """For whoever asks the simulator directly."""
    credentials = base64.b64encode(f"{CLIENT['GENESYS_CLIENT_ID']}:{CLIENT['GENESYS_CLIENT_SECRET']}".encode()).decode()
    headers = {"content-type": "application/x-www-form-urlencoded", "authorization": f"Basic {credentials}"}
    _, content = fetch(simulator, "/oauth/token", headers, "POST", "grant_type=client_credentials")
    return json.loads(content)["access_token"]


def journal(simulator):
    """What the simulator was asked."""
    return json.loads(fetch(simulator, "/_simulator/journal")[1])


def forget(simulator):
    fetch(simulator, "/_simulator/journal", method="DELETE")
