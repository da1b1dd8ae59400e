/** What to do about an error of the file system, by its code. */
const causes: Readonly<Record<string, string>> = {
  ENOSPC: 'its disk is full. Make room on it',
  EDQUOT: 'the quota of this user is used up. Make room',
  EACCES: 'this user may not use it. Give it to the user that the server runs as',
  EPERM: 'this user may not use it. Give it to the user that the server runs as',
  EROFS: 'its disk can only be read. Mount it for writing',
  ENOENT: 'it does not exist and cannot be made. Name a path on a disk that can be written',
  ENOTDIR: 'a part of its path is a file. Name another path',
  EISDIR: 'it is a folder. Name a file',
  EEXIST: 'there is a file in its place. Name another path',
  ENAMETOOLONG: 'its path is too long. Name a shorter one',
  EIO: 'its disk reports an I/O error. Check the disk',
};

/** Returns why the file system refused something and what to do, or undefined if it did not cause the error. */
export function describeFileFailure(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return undefined;
  const code = String(error.code);
  return Object.hasOwn(causes, code) ? causes[code] : undefined;
}
