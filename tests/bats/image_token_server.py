#!/usr/bin/env python3
"""A token service for docker-registry: image_token_server.py PORT KEY CERT

Anonymous tokens let one pull public/*; alice with the password secret may do everything."""
import base64, http.server, json, subprocess, sys, time, urllib.parse

port, key, cert = int(sys.argv[1]), sys.argv[2], sys.argv[3]
x5c = [subprocess.run(["openssl", "x509", "-in", cert, "-outform", "DER"], capture_output=True, check=True).stdout]


def b64url(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def jwt(claims):
    head = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(c).decode() for c in x5c]}
    body = b64url(json.dumps(head).encode()) + "." + b64url(json.dumps(claims).encode())
    sig = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=body.encode(), capture_output=True,
                         check=True).stdout
    return body + "." + b64url(sig)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        q = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        auth = self.headers.get("Authorization", "")
        known = auth == "Basic " + base64.b64encode(b"alice:secret").decode()
        if auth and not known:
            self.send_response(401)
            self.end_headers()
            return
        access = []
        for scope in q.get("scope", []):
            kind, name, actions = scope.split(":")
            allowed = [a for a in actions.split(",") if known or (a == "pull" and name.startswith("public/"))]
            access.append({"type": kind, "name": name, "actions": allowed})
        now = int(time.time())
        token = jwt({"iss": "tests", "sub": "alice" if known else "", "aud": q.get("service", [""])[0], "exp": now + 300,
                     "nbf": now - 10, "iat": now, "jti": str(now), "access": access})
        out = json.dumps({"token": token}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
