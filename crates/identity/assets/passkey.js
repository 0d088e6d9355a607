// Passkeys for the pages of the identity provider. Without this file every page still works, by PIN and codes.
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (sign) => sign.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function post(url, body) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return answer.json();
}

function known(list) {
  return (list || []).map((one) => ({ ...one, id: bytes(one.id) }));
}

async function login({ publicKey }) {
  const credential = await navigator.credentials.get({
    publicKey: { ...publicKey, challenge: bytes(publicKey.challenge), allowCredentials: known(publicKey.allowCredentials) },
  });
  const { authenticatorData, clientDataJSON, signature, userHandle } = credential.response;
  return {
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    extensions: {},
    response: {
      authenticatorData: text(authenticatorData),
      clientDataJSON: text(clientDataJSON),
      signature: text(signature),
      userHandle: userHandle ? text(userHandle) : null,
    },
  };
}

async function register({ publicKey }) {
  const credential = await navigator.credentials.create({
    publicKey: {
      ...publicKey,
      challenge: bytes(publicKey.challenge),
      user: { ...publicKey.user, id: bytes(publicKey.user.id) },
      excludeCredentials: known(publicKey.excludeCredentials),
    },
  });
  const { attestationObject, clientDataJSON } = credential.response;
  return {
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    extensions: {},
    response: { attestationObject: text(attestationObject), clientDataJSON: text(clientDataJSON) },
  };
}

for (const part of document.querySelectorAll("[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  part.hidden = false;
  const button = part.querySelector("button");
  const failed = part.querySelector("[role=alert]");
  button.addEventListener("click", async () => {
    const { passkey, start, finish, flow, csrf } = part.dataset;
    button.disabled = true;
    failed.hidden = true;
    try {
      const options = await post(start, { flow, csrf });
      const credential = await (passkey === "login" ? login(options) : register(options));
      const { location } = await post(finish, { flow, csrf, credential });
      window.location.assign(location);
    } catch {
      failed.hidden = false;
      button.disabled = false;
    }
  });
}
