"""A relying party in the shape of RomM's: one Authlib client named "openid".

It signs in with what the environment says and answers with the claims that
Authlib accepted, so that a test can look at them. An error of Authlib is not
handled, as in RomM: the answer is a bare 500.
"""

import os
import socket

import uvicorn
from authlib.integrations.starlette_client import OAuth
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route

oauth = OAuth()
oauth.register(
    name="openid",
    client_id=os.environ["OIDC_CLIENT_ID"],
    client_secret=os.environ["OIDC_CLIENT_SECRET"],
    server_metadata_url=os.environ["OIDC_SERVER_APPLICATION_URL"] + "/.well-known/openid-configuration",
    client_kwargs={
        "scope": "openid profile email romm_roles",
        "verify": os.environ.get("OIDC_TLS_CACERTFILE") or None,
    },
)


async def login(request):
    return await oauth.openid.authorize_redirect(request, os.environ["OIDC_REDIRECT_URI"])


async def callback(request):
    token = await oauth.openid.authorize_access_token(request)
    return JSONResponse(token["userinfo"])


app = Starlette(
    routes=[Route("/api/login/openid", login), Route("/api/oauth/openid", callback)],
    middleware=[Middleware(SessionMiddleware, secret_key=os.urandom(32).hex(), session_cookie="romm_session")],
)

if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
