// What is kept over a reload, by name: in IndexedDB, or in memory where the browser has none for this page.

/** @type {Map<string, any>} */
const memory = new Map();

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function result(request) {
  return new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
}

/** @template T @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest<T>} act */
async function within(mode, act) {
  const request = indexedDB.open('n2n-gpu', 1);
  request.onupgradeneeded = () => request.result.createObjectStore('kept');
  const database = await result(request);
  try {
    const transaction = database.transaction('kept', mode);
    const found = await result(act(transaction.objectStore('kept')));
    // Until it is complete, nothing is on the disk.
    if (mode === 'readwrite') await new Promise((done, failed) => Object.assign(transaction, { oncomplete: done, onabort: failed }));
    return found;
  } finally {
    database.close();
  }
}

/** Whether it will be there after a reload. @param {string} name @param {any} value */
export function keep(name, value) {
  return within('readwrite', (store) => store.put(value, name)).then(() => memory.delete(name) || true, () => !memory.set(name, value));
}

/** @param {string} name @returns {Promise<any>} */
export function kept(name) {
  return within('readonly', (store) => store.get(name)).catch(() => {}).then((value) => value ?? memory.get(name));
}

/** @param {string} name */
export async function forget(name) {
  memory.delete(name);
  await within('readwrite', (store) => store.delete(name)).catch(() => {});
}
