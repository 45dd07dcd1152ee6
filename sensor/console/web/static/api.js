// The API, as everybody else asks it (docs/web.md).
let csrf = "";

export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function answer(response) {
  if (response.ok) return response.status === 204 ? null : response.json();
  const fault = await response.json().catch(() => ({ detail: response.statusText }));
  if (response.status === 401 && location.pathname !== "/login") location.assign("/login");
  throw new ApiError(response.status, fault.detail);
}

export const query = (params) => {
  const given = Object.entries(params).filter(([, v]) => v !== undefined && v !== "" && v !== null);
  const text = new URLSearchParams(given).toString();
  return text ? `?${text}` : "";
};

export const get = async (path, params = {}, signal = undefined) =>
  answer(await fetch(`/api/v1/${path}${query(params)}`, { signal }));

export const send = async (method, path, body = undefined) =>
  answer(
    await fetch(`/api/v1/${path}`, {
      method,
      headers: {
        "X-CSRF-Token": csrf,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    }),
  );

export async function me() {
  const who = await get("me");
  csrf = who.csrf;
  return who;
}

const ROLES = ["viewer", "analyst", "operator"];
export const may = (who, role) => ROLES.indexOf(who.role) >= ROLES.indexOf(role);
