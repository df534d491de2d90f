"""Reads every conversation of a day page by page with httpx, as tutorials do: PORT DAY. Prints how many, and the seconds."""

import json
import sys
import time

import httpx

port, day = sys.argv[1:3]
began = time.perf_counter()
with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
    grant, credentials = {"grant_type": "client_credentials"}, ("simulated-client", "simulated-secret")
    token = client.post("/oauth/token", data=grant, auth=credentials).raise_for_status().json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    conversations, number = [], 1
    while True:
        question = {"interval": day, "paging": {"pageSize": 100, "pageNumber": number}}
        answer = client.post("/api/v2/analytics/conversations/details/query", json=question).raise_for_status().json()
        page = answer.get("conversations", [])
        conversations += page
        if len(page) < 100:
            break
        number += 1
print(json.dumps({"conversations": len(conversations), "seconds": time.perf_counter() - began}))
